//! The only place, beside the sandbox, that opens sockets.
