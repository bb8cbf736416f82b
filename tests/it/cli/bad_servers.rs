//! Servers that are not there, or are not what they should be: one clear message and exit 1.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::bad_input::{check_message, home};
use crate::support::process::{Home, PATIENCE, Ran};

/// A server that does this to every connection. Its thread ends with the test's process.
fn server(treat: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let treat = treat.clone();
            std::thread::spawn(move || treat(socket));
        }
    });
    address
}

fn hangs_up() -> SocketAddr {
    server(|mut socket| drop(socket.read(&mut [0; 64])))
}

fn speaks_http() -> SocketAddr {
    server(|mut socket| {
        let _ = socket.read(&mut [0; 64]);
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        // A socket that is closed with unread bytes in it resets the connection, and with it what was just said.
        while socket.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
    })
}

/// A port where nothing listens: nobody else is given it while the listener's socket lingers unaccepted.
fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn fails(home: &Home, arguments: &[&str]) -> Ran {
    let ran = home.run(arguments).expect(1);
    check_message(&ran);
    assert_eq!(ran.stdout, "");
    assert!(home.left_behind().is_empty(), "{:?}", home.left_behind());
    ran
}

fn nameserver(address: SocketAddr) -> String {
    let recover = ["recover", "--all", "--leader-wait", "1", "--nameserver", &address.to_string()];
    fails(&home(), &recover).transcript()
}

#[test]
fn a_nameserver_whose_port_is_closed() {
    let transcript = nameserver(closed());
    let said = "error: the leading nameserver is 127.0.0.1:10001, but it could not be reached within 1s: connection refused, nothing";
    assert!(transcript.contains(said), "{transcript}");
}

#[test]
fn a_nameserver_that_hangs_up() {
    let transcript = nameserver(hangs_up());
    assert!(transcript.contains("refuses our credentials, keeps dying, or is not a nameserver"), "{transcript}");
}

/// What makes no sense ends the connection, and a call on it may hear of the end first: then it is said that whoever closes it may be no
/// nameserver. Either is right each time, and the cause is told sooner or later.
fn is_seen_to_make_no_sense(address: SocketAddr, said: &str) {
    let tells_the_cause = || {
        let transcript = nameserver(address);
        let is_closed = transcript.contains("keeps dying, or is not a nameserver (connection closed)");
        assert!(transcript.contains(said) || is_closed, "{transcript}");
        transcript.contains(said)
    };
    assert!((0..20).any(|_| tells_the_cause()), "twenty times no word of it");
}

#[test]
fn a_nameserver_that_speaks_something_else() {
    is_seen_to_make_no_sense(speaks_http(), "with something that makes no sense: not HTTP/2");
}

#[test]
fn a_nameserver_that_sends_noise_without_end() {
    let noise = server(|mut socket| while socket.write_all(&[0xa5; 4096]).is_ok() {});
    is_seen_to_make_no_sense(noise, "with something that makes no sense");
}

#[test]
fn a_nameserver_whose_name_does_not_resolve() {
    let recover = ["recover", "--all", "--leader-wait", "1", "--nameserver", "nameserver.invalid:7527"];
    let ran = fails(&home(), &recover);
    assert!(ran.stderr.contains("nameserver.invalid:7527, but it could not be reached within 1s"), "{}", ran.stderr);
}

#[test]
fn a_zookeeper_whose_port_is_closed() {
    let address = closed().to_string();
    let ran = fails(&home(), &["recover", "--all", "--zk-cluster", &address]);
    let error =
        format!("error: no ZooKeeper server listens: {address}: connection refused\nhint: check --zk-cluster, ");
    assert!(ran.stderr.starts_with(&error), "{}", ran.stderr);
}

#[test]
fn a_zookeeper_whose_name_does_not_resolve() {
    let ran = fails(&home(), &["status", "--zk-cluster", "zookeeper.invalid:2181"]);
    let message = "error: no ZooKeeper server's name resolves: zookeeper.invalid:2181: ";
    assert!(ran.stderr.starts_with(message), "{}", ran.stderr);
}

#[test]
fn a_port_that_is_no_zookeeper() {
    let address = hangs_up().to_string();
    let ran = fails(&home(), &["recover", "--all", "--zk-cluster", &address]);
    let said = "listens, but is not a ZooKeeper: no session could be opened within 10s, and it answers nothing a \
        ZooKeeper would\n";
    assert!(ran.stderr.starts_with(&format!("error: {address} {said}hint: check --zk-cluster, ")), "{}", ran.stderr);
}

/// In the environment as on the command line, which wins.
#[test]
fn the_environment() {
    let (one, other) = (closed().to_string(), closed().to_string());
    let environment = || home().with("OPENMLDB_ZK_CLUSTER", &one);
    let ran = fails(&environment(), &["status"]);
    let error = format!("error: no ZooKeeper server listens: {one}: connection refused\nhint: check --zk-cluster, ");
    assert!(ran.stderr.starts_with(&error), "{}", ran.stderr);
    let ran = fails(&environment(), &["status", "--leader-wait", "0", "--nameserver", &other]);
    assert!(ran.stderr.contains(&format!("the leading nameserver is {other}, ")), "{}", ran.stderr);
    let both = environment().with("OPENMLDB_NAMESERVER", &one);
    let ran = fails(&both, &["status", "--zk-cluster", &other]);
    assert!(ran.stderr.contains(&format!("listens: {other}: ")), "{}", ran.stderr);
    // A sandbox is what was asked for, and a snapshot file is no cluster.
    both.run(&["status", "--sandbox", "healthy"]).expect(0);
    both.run(&["snapshot", "--sandbox", "healthy", "-o", "seen.yaml"]).expect(0);
    both.run(&["recover", "--all", "--dry-run", "--snapshot", "seen.yaml"]).expect(0);
    home().with("OPENMLDB_ZK_CLUSTER", "").run(&["status"]).expect(2);
}

/// Whatever is asked to be said, a password is not: neither as it is nor as it is sent.
#[test]
fn secrets_are_never_shown() {
    // The sha256 of the password, which is what OpenMLDB's servers get.
    let hash = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";
    let home = home().with("RUST_LOG", "trace");
    home.write("credentials", "operator:hunter2\n");
    let nameserver = [hangs_up(), speaks_http(), closed()].map(|address| address.to_string());
    let shown = |home: &Home, arguments: &[&str], code: i32| {
        let ran = home.run(&[arguments, &["-vvv", "--output", "json"]].concat()).expect(code);
        for secret in ["hunter2", hash] {
            assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{arguments:?}: {ran:?}");
        }
        ran
    };
    for address in &nameserver {
        let status = ["status", "--leader-wait", "0", "--nameserver", address, "--auth-file", "credentials"];
        shown(&home, &status, 1);
        let status = ["status", "--zk-cluster", &nameserver[2], "--zk-cert-file", "credentials"];
        shown(&home, &status, 1);
    }
    // A nameserver that answers: the sandbox's takes any user.
    let mut sandbox = home.start(&["sandbox", "serve", "--scenario", "healthy", "--output", "json"]);
    let ready: serde_json::Value = serde_json::from_str(&sandbox.wait_for_line(|_| true)).unwrap();
    let address = ready["nameserver"].as_str().unwrap();
    let ran = shown(&home, &["status", "--nameserver", address, "--auth-file", "credentials"], 0);
    assert!(ran.stderr.contains("TRACE"), "{}", ran.stderr);
    let from_environment =
        crate::support::process::Home::new().with("OPENMLDB_AUTH", "operator:hunter2").with("RUST_LOG", "trace");
    shown(&from_environment, &["status", "--nameserver", address], 0);
    sandbox.signal("INT");
    sandbox.end().expect(0);
}

/// A nameserver that accepts and says nothing is given up on.
#[test]
fn a_nameserver_that_says_nothing() {
    let silent = server(|socket| {
        std::thread::sleep(2 * PATIENCE);
        drop(socket);
    });
    let transcript = nameserver(silent);
    assert!(transcript.contains("it did not answer within"), "{transcript}");
}

/// As a server of an older release answers what came later.
#[test]
fn a_server_that_does_not_know_a_call_is_named_with_the_release_that_it_came_with() {
    let home = home();
    let asks = ["status", "--sandbox", "healthy", "--fault", "ConfGet:every=unknown"];
    let said = home.run(&asks).expect(1).stderr;
    assert!(said.contains("does not know ConfGet, which every release from 0.4.0 on knows"), "{said}");
    let sends = ["recover", "--all", "--sandbox", "--fault", "LoadTable:every=unknown"];
    let said = home.run(&sends).expect(4);
    assert!(said.stdout.contains("does not know LoadTable"), "{}", said.transcript());
}
