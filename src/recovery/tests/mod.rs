//! Every rule of design section 5 as a named test, one file for each of its headings.

mod builder;
mod looks;
mod suspects;
mod terms;
