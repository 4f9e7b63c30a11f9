//! One declaration gives the Rust item and its entry in the table that `tests/headers.rs` checks against C.

/// Declares constants in groups: a doc comment and a type, then `NAME = value` under their C names.
///
/// Also makes the module's `CONSTS` table, so it stands once in a module and nothing can miss the table.
macro_rules! consts {
    ($(
        #[doc = $group:literal]
        $ty:ty { $( $(#[$meta:meta])* $name:ident = $value:expr, )* }
    )*) => {
        $($(
            #[doc = $group]
            $(#[doc = ""] #[$meta])*
            pub const $name: $ty = $value;
        )*)*

        /// Every constant of this module, for the header check.
        pub const CONSTS: &[$crate::check::Const] = &[
            $($( $crate::check::Const { c: stringify!($name), value: $name as i128 }, )*)*
        ];
    };
}

/// Declares structs: a Rust name, the C type that it mirrors, and the fields under their C names.
///
/// Each is `repr(C)` with every byte named, so that zerocopy can prove that copying it in is sound and copying it
/// out leaks nothing. Fields called `_padN` are ours and stand for C's implicit padding; `[u64; 0]` among them only
/// aligns. Also makes the module's `LAYOUTS` table.
macro_rules! structs {
    ($(
        $(#[$meta:meta])*
        $name:ident = $c:literal { $( $(#[$fmeta:meta])* $field:ident: $ty:ty, )* }
    )*) => {
        $(
            $(#[$meta])*
            #[doc = concat!("\nC: `", $c, "`.")]
            #[derive(
                Clone, Copy, Debug, PartialEq, Eq,
                zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable,
            )]
            #[repr(C)]
            pub struct $name {
                $(
                    #[doc = concat!("`", stringify!($field), "`.")]
                    $(#[doc = ""] #[$fmeta])*
                    pub $field: $ty,
                )*
            }

            /// All bytes zero.
            impl Default for $name {
                fn default() -> Self {
                    zerocopy::FromZeros::new_zeroed()
                }
            }
        )*

        /// Every struct of this module, for the header check.
        pub const LAYOUTS: &[$crate::check::Layout] = &[
            $(
                $crate::check::Layout {
                    c: $c,
                    size: size_of::<$name>(),
                    align: align_of::<$name>(),
                    fields: &[ $(
                        $crate::check::Field {
                            c: stringify!($field),
                            offset: core::mem::offset_of!($name, $field),
                            size: size_of::<$ty>(),
                        },
                    )* ],
                },
            )*
        ];
    };
}
