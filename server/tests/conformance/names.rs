//! The socket's name: a dead server's is taken over, a live one's or anything else is left alone.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::sync::{Arc, Barrier};

use ivshmem_server::{Error, Options, Running, Server};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, socket};

use crate::raw::{Raw, Rig, refused};

fn start(path: &Path) -> Result<Running, Error> {
    Running::start(Options::new(path), |_| {})
}

/// What a server that was killed leaves.
fn leave_stale_socket(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
    assert!(path.exists());
}

#[test]
fn the_socket_is_for_us_alone_and_removed_at_the_end() {
    let rig = Rig::vectors(1);
    let path = rig.server.socket().to_path_buf();
    let metadata = std::fs::metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    rig.server.stop().unwrap();
    assert_eq!(std::fs::read_dir(rig.folder.path()).unwrap().count(), 0);
}

#[test]
fn dropping_a_server_removes_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    drop(Server::bind(Options::new(&path)).unwrap());
    assert!(!path.exists());
    drop(start(&path).unwrap());
    assert!(!path.exists());
}

#[test]
fn the_socket_gets_the_mode_asked_for() {
    let rig = Rig::with(|options| Options { socket_mode: 0o666, ..options });
    assert_eq!(std::fs::metadata(rig.server.socket()).unwrap().permissions().mode() & 0o7777, 0o666);
}

#[test]
fn a_stale_socket_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    leave_stale_socket(&path);
    let server = start(&path).unwrap();
    Raw::connect(&path).expect_greeting(0);
    server.stop().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_live_server_s_socket_is_refused_and_nobody_there_notices() {
    let rig = Rig::vectors(1);
    let client = rig.connect();
    client.expect_greeting(0);
    client.expect(0, true);
    let error = refused(start(rig.server.socket()));
    assert!(matches!(&error, Error::SocketInUse(path) if path == rig.server.socket()), "{error}");
    let next = rig.connect();
    next.expect_greeting(1);
    client.expect(1, true);
}

#[test]
fn any_live_socket_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _listening = UnixListener::bind(&path).unwrap();
    assert!(matches!(refused(start(&path)), Error::SocketInUse(_)));
    let path = folder.path().join("datagram");
    let _datagram = UnixDatagram::bind(&path).unwrap();
    assert!(matches!(refused(start(&path)), Error::SocketInUse(_)));
    let path = folder.path().join("bound");
    let bound = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&bound, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    assert!(matches!(refused(start(&path)), Error::SocketInUse(_)), "not listening yet");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn what_is_no_socket_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let directory = folder.path().join("directory");
    std::fs::create_dir(&directory).unwrap();
    let link = folder.path().join("link");
    leave_stale_socket(&folder.path().join("stale"));
    std::os::unix::fs::symlink(folder.path().join("stale"), &link).unwrap();
    for path in [&file, &directory, &link] {
        let error = refused(start(path));
        assert!(matches!(&error, Error::NotASocket(name) if name == path), "{error}");
        assert!(path.exists());
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn a_path_that_does_not_fit_is_refused_with_its_length() {
    let path = Path::new("/tmp").join("x".repeat(104));
    let error = refused(start(&path));
    assert!(matches!(error, Error::SocketPathTooLong { length: 109, .. }), "{error}");
}

#[test]
fn a_directory_that_is_not_there_is_an_error_with_its_name() {
    let error = refused(start(Path::new("/nowhere/at/all")));
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
}

#[test]
fn a_socket_that_replaced_ours_is_not_removed() {
    let rig = Rig::vectors(1);
    let path = rig.server.socket().to_path_buf();
    std::fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    rig.server.stop().unwrap();
    assert!(path.exists());
}

#[test]
fn of_many_that_find_the_same_stale_socket_one_gets_it() {
    const RIVALS: usize = 8;
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        leave_stale_socket(&path);
        let barrier = Arc::new(Barrier::new(RIVALS));
        let rivals: Vec<_> = (0..RIVALS)
            .map(|_| {
                let (path, barrier) = (path.clone(), barrier.clone());
                std::thread::spawn(move || {
                    barrier.wait();
                    start(&path)
                })
            })
            .collect();
        let outcomes: Vec<_> = rivals.into_iter().map(|rival| rival.join().unwrap()).collect();
        let errors: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert_eq!(errors.len(), RIVALS - 1, "{errors:?}");
        Raw::connect(&path).expect_greeting(0);
        drop(outcomes);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
