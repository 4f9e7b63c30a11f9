//! One entry, in both versions.

use super::entry::{Entry, Grant, Purpose};
use super::status::Status;
use super::*;
use crate::addr::Gfn;

const BY: DomId = DomId(0x1234);
const AT: usize = 0x230;
const STATUS: usize = 0x46;

fn header(flags: u16, domid: u16) -> u32 {
    u32::from(flags) | u32::from(domid) << 16
}

fn both<'a>(page: &'a SharedPage, status: &'a SharedPage) -> [Entry<'a>; 2] {
    [None, Some((status, STATUS))].map(|status| Entry { page, at: AT, status })
}

#[test]
fn an_entry_grants_what_its_version_can_say() {
    let (page, status) = (SharedPage::zeroed(), SharedPage::zeroed());
    let (map, copy) = (Purpose::Map, Purpose::Copy);
    let whole = |frame| Ok(Grant::Frame { frame: Mfn(frame), start: 0, length: 4096 });
    let (old, new) = (whole(0x0506_0708), whole(0x9_0000_000a));
    let part = Ok(Grant::Frame { frame: Mfn(0x9_0000_000a), start: 0x708, length: 0x506 });
    let transitive = Ok(Grant::Transitive { domid: DomId(0x708), reference: 0xa });
    let refused = Err(Status::General);
    let (permit, sub) = (GTF_permit_access, GTF_permit_access | GTF_sub_page);
    for (flags, domid, writable, purpose, expected) in [
        (permit, BY.0, true, map, [old, new]),
        (permit, BY.0, true, copy, [old, new]),
        (permit, BY.0 + 1, false, map, [refused; 2]),
        (permit | GTF_readonly, BY.0, false, map, [old, new]),
        (permit | GTF_readonly, BY.0, true, map, [refused; 2]),
        (permit | GTF_readonly, BY.0, true, copy, [refused; 2]),
        (sub, BY.0, true, map, [old, refused]),
        (sub, BY.0, true, copy, [old, part]),
        (GTF_transitive, BY.0, true, map, [refused; 2]),
        (GTF_transitive, BY.0, true, copy, [refused, transitive]),
        (GTF_accept_transfer, BY.0, false, copy, [refused; 2]),
        (GTF_invalid, BY.0, false, copy, [refused; 2]),
    ] {
        for (version, entry) in both(&page, &status).into_iter().enumerate() {
            page.zero();
            status.zero();
            page.store_u32(AT, header(flags, domid));
            page.store_u32(AT + 4, 0x0506_0708);
            page.store_u64(AT + 8, 0x9_0000_000a);
            let what = format!("version {}, flags {flags:#x} for {purpose:?}", version + 1);
            assert_eq!(entry.mark(BY, writable, purpose), expected[version], "{what}");
            let marks = match (expected[version], writable) {
                (Err(_), _) => 0,
                (Ok(_), false) => GTF_reading,
                (Ok(_), true) => GTF_reading | GTF_writing,
            };
            let in_entry = if version == 0 { marks } else { 0 };
            assert_eq!(page.load_u32(AT), header(flags | in_entry, domid), "{what}");
            assert_eq!(status.load_u16(STATUS), marks ^ in_entry, "{what}");
            let frame = if version == 0 { 0x0506_0708 } else { 0x9_0000_000a };
            assert_eq!(entry.peek(), (flags | in_entry, DomId(domid), frame, marks), "{what}");
        }
    }
}

#[test]
fn a_transfer_is_committed_then_completed_or_taken_back() {
    let (page, status) = (SharedPage::zeroed(), SharedPage::zeroed());
    let committed = GTF_accept_transfer | GTF_transfer_committed;
    for (entry, (slot, completed)) in both(&page, &status).into_iter().zip([(7, [77, 9]), (9, [7, 77])]) {
        page.store_u32(AT, header(GTF_accept_transfer, BY.0));
        page.store_u32(AT + 4, 7);
        page.store_u64(AT + 8, 9);
        assert_eq!(entry.commit_transfer(DomId(BY.0 + 1)), Err(Status::BadRef));
        assert_eq!(entry.commit_transfer(BY), Ok(Gfn(slot)));
        assert_eq!(page.load_u32(AT), header(committed, BY.0));
        assert_eq!(entry.commit_transfer(BY), Err(Status::BadRef), "is committed");
        entry.abort_transfer();
        assert_eq!(page.load_u32(AT), header(GTF_accept_transfer, BY.0));
        assert_eq!(entry.commit_transfer(BY), Ok(Gfn(slot)));
        entry.complete_transfer(Mfn(77));
        assert_eq!(page.load_u32(AT), header(committed | GTF_transfer_completed, BY.0));
        assert_eq!([page.load_u32(AT + 4).into(), page.load_u64(AT + 8)], completed);
    }
}

#[test]
fn an_entry_can_be_taken_and_written_as_a_whole() {
    let (page, status) = (SharedPage::zeroed(), SharedPage::zeroed());
    for (entry, second) in both(&page, &status).into_iter().zip([0, 0x99]) {
        page.zero();
        page.store_u64(AT, 0x88);
        page.store_u64(AT + 8, 0x99);
        assert_eq!(entry.words(), [0x88, second]);
        entry.set_words([1, 2]);
        assert_eq!([page.load_u64(AT), page.load_u64(AT + 8)], [1, if second == 0 { 0x99 } else { 2 }]);
    }
}

#[test]
fn only_an_interrupted_change_of_page_tables_is_made_again() {
    use super::failure::Failure;
    use crate::paging::PagingError;
    assert_eq!(Failure::from(PagingError::Interrupted), Failure::Interrupted);
    for error in [PagingError::Invalid, PagingError::NotPermitted, PagingError::Busy, PagingError::Fault] {
        assert_eq!(Failure::from(error), Failure::Status(Status::General));
    }
}

#[test]
fn a_table_has_512_entries_a_frame_or_256_and_a_status_word_for_each_of_those() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let entries = |guest: &Guest<'_>| guest.dom().grants.inner.lock().entries();
    assert_eq!(entries(&guest), 0);
    guest.setup(3);
    assert_eq!(entries(&guest), 3 * 512);
    guest.ops(GNTTABOP_set_version, &[GnttabSetVersion { version: 2 }]).0.unwrap();
    assert_eq!(entries(&guest), 3 * 256);
    for (shared, status) in [(0, 0), (1, 1), (8, 1), (9, 2), (16, 2), (17, 3), (64, 8)] {
        assert_eq!(table::status_frames_for(shared), status, "{shared}");
    }
}

#[test]
fn the_entries_of_version_1_fill_a_frame() {
    assert_eq!(super::table::MAX_ENTRIES * size_of::<GrantEntryV1>(), 4096);
}
