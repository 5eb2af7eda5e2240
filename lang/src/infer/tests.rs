//! Types, literals, specialisation and scripts, from text to the text of the tree.

use super::*;
