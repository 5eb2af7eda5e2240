//! Tests of the wide backend that need no execution.
//!
//! In: rows of the table, small functions. Out: nothing, or what is wrong. Holds: code is decoded by iced-x86, which shares nothing with the encoder.

mod encode;
