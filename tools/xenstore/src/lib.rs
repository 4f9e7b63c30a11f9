//! XenStore client.
