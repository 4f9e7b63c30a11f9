//! `io/console.h`: the console ring.

consts! {}

structs! {
    /// The console ring's page. Indices run freely; the array index is their remainder.
    XenconsInterface = "struct xencons_interface" {
        r#in: [u8; 1024],
        out: [u8; 2048],
        in_cons: u32,
        in_prod: u32,
        out_cons: u32,
        out_prod: u32,
    }
}
