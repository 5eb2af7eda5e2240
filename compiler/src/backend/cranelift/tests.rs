//! The backend without running code: what is emitted, what is refused.
