//! Errors travel as their names (`xsd_errors`).

use core::fmt;

macro_rules! errors {
    ($($name:ident = $errno:literal, $text:literal;)*) => {
        /// An error that the protocol can express. Names and order are those of `xsd_errors`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum XsError { $(#[doc = $text] $name,)* }

        impl XsError {
            /// Every error, in the header's order.
            pub const ALL: &'static [XsError] = &[$(XsError::$name,)*];

            /// The name that travels, without the NUL.
            pub const fn name(self) -> &'static str {
                match self { $(XsError::$name => stringify!($name),)* }
            }

            /// Linux's errno.
            pub const fn errno(self) -> i32 {
                match self { $(XsError::$name => $errno,)* }
            }

            /// What it means, for people.
            pub const fn meaning(self) -> &'static str {
                match self { $(XsError::$name => $text,)* }
            }

            /// The error with this name.
            pub fn from_name(name: &[u8]) -> Option<XsError> {
                XsError::ALL.iter().copied().find(|e| e.name().as_bytes() == name)
            }
        }
    };
}

errors! {
    EINVAL = 22, "invalid argument";
    EACCES = 13, "permission denied";
    EEXIST = 17, "exists already";
    EISDIR = 21, "is a directory";
    ENOENT = 2, "no such node, watch, transaction or domain";
    ENOMEM = 12, "out of memory";
    ENOSPC = 28, "quota exceeded";
    EIO = 5, "input/output error";
    ENOTEMPTY = 39, "directory not empty";
    ENOSYS = 38, "operation not known";
    EROFS = 30, "the connection is read-only";
    EBUSY = 16, "busy";
    EAGAIN = 11, "the transaction conflicts with another change";
    EISCONN = 106, "connected already";
    E2BIG = 7, "too big, or too many";
    EPERM = 1, "operation not permitted";
}

impl fmt::Display for XsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.meaning(), self.name())
    }
}

impl core::error::Error for XsError {}
