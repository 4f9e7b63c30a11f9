//! The tables that `tests/headers.rs` turns into C assertions.

/// A constant under its C name.
#[derive(Clone, Copy, Debug)]
pub struct Const {
    /// The C spelling.
    pub c: &'static str,
    /// Its value here.
    pub value: i128,
}

/// A field of a struct.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The Rust spelling: C's, or `r#` and C's, or `_padN`, or `_bits`.
    pub c: &'static str,
    /// Offset in bytes.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
}

impl Field {
    /// The C spelling; `None` for padding that C does not name, and for `_bits`, which stands for C's bit-fields.
    #[must_use]
    pub fn c_name(&self) -> Option<&'static str> {
        let name = self.c.strip_prefix("r#").unwrap_or(self.c);
        if name == "_bits" {
            return None;
        }
        match name.strip_prefix("_pad") {
            Some(n) if !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) => None,
            _ => Some(name),
        }
    }
}

/// A struct and the C type that it mirrors.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The C type.
    pub c: &'static str,
    /// Size in bytes.
    pub size: usize,
    /// Alignment in bytes.
    pub align: usize,
    /// The fields, padding included.
    pub fields: &'static [Field],
}

/// What one module takes from its public headers.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// The module's path in this crate.
    pub module: &'static str,
    /// The headers, below the directory of Xen's public headers.
    pub includes: &'static [&'static str],
    /// The module's constants.
    pub consts: &'static [Const],
    /// The module's structs.
    pub layouts: &'static [Layout],
}
