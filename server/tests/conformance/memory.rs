//! Sizes, stale contents, and who can open it.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};

use ivshmem_server::{Error, Memory, Options, Server};
use rustix::fs::{fstat, ftruncate};

use crate::raw::{Rig, SharedMemoryName, refused};

fn bind(change: impl FnOnce(Options) -> Options) -> Result<Server, Error> {
    let folder = tempfile::tempdir().unwrap();
    let outcome = Server::bind(change(Options::new(folder.path().join("socket"))));
    if outcome.is_err() {
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was left behind");
    }
    outcome
}

/// The memory's file, as the first client gets it.
fn memory(rig: &Rig) -> File {
    rig.connect().expect_greeting(0).into()
}

fn existing(name: &SharedMemoryName, size: u64, mode: u32) -> File {
    let file = File::options().read(true).write(true).create_new(true).mode(mode).open(name.path()).unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(mode)).unwrap();
    file.set_len(size).unwrap();
    file
}

#[test]
fn a_size_that_is_not_a_power_of_two_is_refused_with_its_value() {
    for size in [0, 3 << 20, 6144, (4 << 30) + 4096, u64::MAX] {
        let error = refused(bind(|options| Options { size, ..options }));
        assert!(matches!(error, Error::SizeNotPowerOfTwo(value) if value == size));
        assert!(error.to_string().contains(&size.to_string()), "{error}");
    }
}

#[test]
fn a_size_that_is_not_whole_pages_is_refused_with_its_value() {
    let named = Memory::Named(SharedMemoryName::new("pages").0.clone());
    for memory in [named, Memory::Sealed, Memory::Directory("/tmp".into())] {
        let error = refused(bind(|options| Options { size: 2048, memory, ..options }));
        assert!(matches!(error, Error::SizeNotPages { size: 2048, .. }), "{error}");
        assert!(error.to_string().contains("2048"), "{error}");
    }
}

#[test]
fn sizes_beyond_4_gib_are_exact() {
    for size in [4_u64 << 30, 16 << 30, 1 << 40] {
        let rig = Rig::with(|options| Options { size, ..options });
        let memory = memory(&rig);
        assert_eq!(fstat(&memory).unwrap().st_size as u64, size);
        memory.write_all_at(b"last", size - 4).unwrap();
    }
}

#[test]
fn a_size_that_no_file_can_have_is_refused_with_its_value() {
    let error = refused(bind(|options| Options { size: 1 << 63, ..options }));
    assert!(error.to_string().contains(&(1_u64 << 63).to_string()), "{error}");
}

#[test]
fn vectors_outside_1_to_2048_are_refused_with_their_number() {
    for vectors in [0, 2049, 65535] {
        let error = refused(bind(|options| Options { vectors, ..options }));
        assert!(matches!(error, Error::Vectors(value) if value == vectors));
    }
}

#[test]
fn named_memory_is_made_for_us_alone_and_removed_at_the_end() {
    let name = SharedMemoryName::new("made");
    let rig = Rig::with(|options| Options { memory: Memory::Named(name.0.clone()), ..options });
    let metadata = std::fs::metadata(name.path()).unwrap();
    assert_eq!(metadata.len(), 4 << 20);
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    let memory = memory(&rig);
    memory.write_all_at(b"seen", 0).unwrap();
    assert_eq!(std::fs::read(name.path()).unwrap()[..4], *b"seen", "the same memory by both ways");
    rig.server.stop().unwrap();
    assert!(!name.path().exists());
}

#[test]
fn memory_that_was_there_keeps_its_contents_and_stays() {
    let name = SharedMemoryName::new("stays");
    existing(&name, 1 << 20, 0o600).write_all_at(b"old", 5).unwrap();
    let rig = Rig::with(|options| Options { size: 1 << 20, memory: Memory::Named(format!("/{}", name.0)), ..options });
    let mut content = [0; 3];
    memory(&rig).read_exact_at(&mut content, 5).unwrap();
    assert_eq!(content, *b"old");
    rig.server.stop().unwrap();
    assert!(name.path().exists());
}

#[test]
fn memory_that_was_there_is_zeroed_if_asked_for() {
    let name = SharedMemoryName::new("zeroed");
    let size = 4 << 20;
    let file = existing(&name, size, 0o600);
    for offset in [0, 4095, 1 << 20, size - 3] {
        file.write_all_at(b"old", offset).unwrap();
    }
    let memory_name = Memory::Named(name.0.clone());
    let rig = Rig::with(|options| Options { size, memory: memory_name, zero: true, ..options });
    drop(memory(&rig));
    let content = std::fs::read(name.path()).unwrap();
    assert_eq!(content.len() as u64, size);
    assert!(content.iter().all(|byte| *byte == 0));
}

#[test]
fn memory_is_not_zeroed_while_another_server_has_the_socket() {
    let name = SharedMemoryName::new("in-use");
    let rig = Rig::with(|options| Options { memory: Memory::Named(name.0.clone()), ..options });
    memory(&rig).write_all_at(b"live", 0).unwrap();
    let socket = rig.server.socket().to_path_buf();
    let error =
        refused(Server::bind(Options { zero: true, memory: Memory::Named(name.0.clone()), ..Options::new(socket) }));
    assert!(matches!(error, Error::SocketInUse(_)), "{error}");
    assert_eq!(std::fs::read(name.path()).unwrap()[..4], *b"live");
}

#[test]
fn memory_of_another_size_is_neither_resized_nor_removed() {
    for size in [1 << 20, 8 << 20] {
        let name = SharedMemoryName::new(&format!("size-{size}"));
        existing(&name, size, 0o600);
        let error = refused(bind(|options| Options { memory: Memory::Named(name.0.clone()), ..options }));
        assert!(matches!(error, Error::SharedMemorySize { existing, asked: 0x40_0000, .. } if existing == size));
        assert_eq!(std::fs::metadata(name.path()).unwrap().len(), size);
    }
}

#[test]
fn memory_that_has_no_size_yet_is_given_one() {
    let name = SharedMemoryName::new("empty");
    existing(&name, 0, 0o600);
    let rig = Rig::with(|options| Options { memory: Memory::Named(name.0.clone()), ..options });
    assert_eq!(fstat(memory(&rig)).unwrap().st_size, 4 << 20);
}

#[test]
fn memory_that_others_can_open_is_refused_unless_asked_for() {
    let name = SharedMemoryName::new("open");
    existing(&name, 4 << 20, 0o666);
    let memory = Memory::Named(name.0.clone());
    let error = refused(bind(|options| Options { memory: memory.clone(), ..options }));
    assert!(matches!(error, Error::SharedMemoryAccess { mode: 0o666, asked: 0o600, .. }), "{error}");
    assert!(bind(|options| Options { memory, memory_mode: 0o666, ..options }).is_ok());
}

#[test]
fn the_mode_asked_for_is_given() {
    let name = SharedMemoryName::new("mode");
    let memory = Memory::Named(name.0.clone());
    let _server = bind(|options| Options { memory, memory_mode: 0o666, ..options }).unwrap();
    assert_eq!(std::fs::metadata(name.path()).unwrap().permissions().mode() & 0o7777, 0o666);
    for memory in [Memory::Sealed, Memory::Directory("/tmp".into())] {
        let rig = Rig::with(|options| Options { memory, ..options });
        assert_eq!(fstat(self::memory(&rig)).unwrap().st_mode & 0o7777, 0o600);
    }
}

#[test]
fn a_name_with_a_path_in_it_is_refused_with_its_text() {
    for name in ["", "/", "a/b", "//a", "..", "."] {
        let error = refused(bind(|options| Options { memory: Memory::Named(name.into()), ..options }));
        assert!(matches!(&error, Error::SharedMemoryName(text) if text == name), "{error}");
    }
}

#[test]
fn memory_in_a_directory_has_no_name_there() {
    let place = tempfile::tempdir().unwrap();
    let rig = Rig::with(|options| Options { memory: Memory::Directory(place.path().into()), ..options });
    assert_eq!(fstat(memory(&rig)).unwrap().st_size, 4 << 20);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn sealed_memory_cannot_be_truncated_under_a_guest() {
    let rig = Rig::with(|options| options);
    let memory = memory(&rig);
    assert_eq!(ftruncate(&memory, 0), Err(rustix::io::Errno::PERM));
    assert_eq!(ftruncate(&memory, 8 << 20), Err(rustix::io::Errno::PERM));
    memory.write_all_at(b"usable", 0).unwrap();
}

#[test]
fn on_a_hugetlbfs_the_pages_are_huge_and_there() {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let mount = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|fields| fields[2] == "hugetlbfs");
    let Some(mount) = mount else {
        eprintln!("skipped: no hugetlbfs is mounted");
        return;
    };
    let memory = Memory::Directory(mount[1].into());
    let error = refused(bind(|options| Options { size: 4096, memory: memory.clone(), ..options }));
    let Error::SizeNotPages { size: 4096, page, .. } = error else { panic!("{error}") };
    assert!(page >= 1 << 20, "{page}");
    let free = format!("/sys/kernel/mm/hugepages/hugepages-{}kB/free_hugepages", page >> 10);
    if std::fs::read_to_string(free).unwrap().trim() == "0" {
        let error = refused(bind(|options| Options { size: page, memory, ..options })).to_string();
        assert!(error.contains(&format!("cannot have {page} bytes of huge pages in {}", mount[1])), "{error}");
        return;
    }
    let rig = Rig::with(|options| Options { size: page, memory, ..options });
    assert_eq!(fstat(self::memory(&rig)).unwrap().st_size as u64, page);
}
