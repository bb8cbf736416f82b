//! Where the program finds its cluster, and how it says so.

use serde_json::{Value, json};

use super::bad_input::check_message;
use crate::support::process::Home;

/// What OpenMLDB's scripts leave below the directory that they deploy to, with secrets.
fn deployed() -> Home {
    let home = Home::new();
    std::fs::create_dir(home.file("conf")).unwrap();
    home.write(
        "conf/nameserver.flags",
        "--zk_cluster=old:2181\n#--zk_cluster=comment:2181\n--zk_cluster=zk1:2181,zk2:2181\n--zk_root_path=/prod\n\
         --zk_cert=keeper:hidden-1\n",
    );
    home.write("conf/tablet.flags", "--zk_cluster=zk2:2181\n--zk_root_path=/prod\n");
    home.write("conf/hosts", "[zookeeper]\nzk3:2181:2888:3888 /tmp/zk\n");
    home.write("conf/openmldb-env.sh", "export OPENMLDB_ZK_CLUSTER=\nexport OPENMLDB_ZK_ROOT_PATH=/openmldb\n");
    home
}

fn config(home: &Home, more: &[&str]) -> Value {
    let ran = home.run(&[&["config", "show", "--output", "json"], more].concat()).expect(0);
    assert!(!format!("{ran:?}").contains("hidden"), "{ran:?}");
    ran.events().pop().unwrap()
}

/// Settings, each as `NAME=VALUE by SOURCE`.
fn settings(line: &Value, of: &str) -> Vec<String> {
    let of = line[of].as_array().unwrap().iter();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    of.map(|row| {
        let differs = if row["differs"] == true { " (differs)" } else { "" };
        format!("{}={} by {}{differs}", text(row, "setting"), text(row, "value"), text(row, "source"))
    })
    .collect()
}

#[test]
fn config_show_says_what_was_found_where_and_who_says_otherwise() {
    let line = config(&deployed().with("OPENMLDB_AUTH", "root:hidden-2"), &[]);
    assert_eq!(line["cluster"], "zk1:2181,zk2:2181/prod");
    assert_eq!(
        settings(&line, "settings"),
        [
            "zk_cluster=zk1:2181,zk2:2181 by --zk_cluster in conf/nameserver.flags",
            "zk_root_path=/prod by --zk_root_path in conf/nameserver.flags",
            "zk_cert=(not shown) by --zk_cert in conf/nameserver.flags",
            "user=(not shown) by OPENMLDB_AUTH in the environment",
        ]
    );
    assert_eq!(
        settings(&line, "besides"),
        [
            "zk_cluster=zk2:2181 by --zk_cluster in conf/tablet.flags",
            "zk_root_path=/prod by --zk_root_path in conf/tablet.flags",
            "zk_cluster=zk3:2181 by [zookeeper] in conf/hosts (differs)",
            "zk_root_path=/openmldb by OPENMLDB_ZK_ROOT_PATH (openmldb-env.sh) in conf/hosts (differs)",
        ]
    );
}

#[test]
fn it_is_found_below_openmldbs_home_and_nowhere_else() {
    let deployed = deployed();
    let home = Home::new().with("OPENMLDB_HOME", &deployed.file(""));
    assert_eq!(config(&home, &[])["cluster"], "zk1:2181,zk2:2181/prod");
    assert_eq!(config(&home, &["--nameserver", "10.0.0.1:7527"])["cluster"], "10.0.0.1:7527");
    let nothing = config(&Home::new(), &[]);
    assert_eq!((&nothing["cluster"], &nothing["settings"]), (&Value::Null, &json!([])));
    let text = Home::new().run(&["config", "show"]).expect(0).stdout;
    assert!(text.starts_with("no source names a cluster: "), "{text}");
}

#[test]
fn people_read_it_as_a_table_without_secrets() {
    let ran = deployed().run(&["config", "show", "--zk-root-path", "/typed"]).expect(0);
    assert!(ran.stdout.starts_with("The cluster is zk1:2181,zk2:2181/typed\n\nsetting "), "{}", ran.stdout);
    let line = ran.stdout.lines().find(|line| line.contains(" /prod ") && line.ends_with(" differs"));
    assert!(line.is_some() && !ran.stdout.contains("hidden"), "{}", ran.stdout);
}

#[test]
fn what_is_typed_and_cannot_be_had_is_refused() {
    let home = deployed();
    home.write("clusters.yaml", "clusters: {prod: {zk_cluster: 'zk:2181'}}\n");
    let home = home.with("OPENMLDB_OPS_CONFIG", "clusters.yaml");
    for (arguments, said) in [
        (["--flagfile", "nowhere.flags"], "the flag file nowhere.flags cannot be read: no such file"),
        (["--cluster", "test"], "there is no cluster `test` in clusters.yaml; it has prod"),
        (["--cluster", "prdo"], "there is no cluster `prdo` in clusters.yaml; did you mean `prod`? it has prod"),
    ] {
        let ran = home.run(&[&["status"], &arguments[..]].concat()).expect(2);
        check_message(&ran);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
}
