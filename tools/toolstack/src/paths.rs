//! Where things are in xenstore (xenstore-paths.pandoc).

/// A domain's home.
pub(crate) fn home(domid: u16) -> String {
    format!("/local/domain/{domid}")
}

/// Its part that every domain with the same UUID shares.
pub(crate) fn vm(uuid: &[u8; 16]) -> String {
    format!("/vm/{}", crate::uuid::format(uuid))
}

/// What only toolstacks read and write.
pub(crate) fn libxl(domid: u16) -> String {
    format!("/libxl/{domid}")
}

/// The two halves of a device, and what toolstacks note of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DevicePaths {
    pub(crate) front: String,
    pub(crate) back: String,
    pub(crate) libxl: String,
}

/// `kind`: the backend's, `vbd`, `qdisk` or `vif`; what a guest sees of the first two is the same.
pub(crate) fn device(domid: u16, kind: &str, number: u32) -> DevicePaths {
    let front = if kind == "qdisk" { "vbd" } else { kind };
    DevicePaths {
        front: format!("/local/domain/{domid}/device/{front}/{number}"),
        back: format!("/local/domain/0/backend/{kind}/{domid}/{number}"),
        libxl: format!("/libxl/{domid}/device/{front}/{number}"),
    }
}

/// Where domain 0's kernel notes what went wrong with a device.
pub(crate) fn backend_error(domid: u16, kind: &str, number: u32) -> String {
    format!("{}/error/backend/{kind}/{domid}/{number}", home(0))
}
