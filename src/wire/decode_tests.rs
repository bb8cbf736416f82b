//! What decoding makes of answers, garbage included.
