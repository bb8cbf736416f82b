//! Which source counts.

use std::path::Path;

use super::*;

fn say(what: What, text: &str, key: &'static str) -> Saying {
    Saying { what, value: Value::Text(text.to_owned()), key }
}

fn file(name: &str, text: &str) -> Said {
    Said::by(Source::Deployment(name.into()), flags::of_a_server(text))
}

fn on_the_command_line(sayings: Vec<Saying>) -> Said {
    Said::by(Source::CommandLine, sayings)
}

fn nowhere(_: &str) -> Option<String> {
    None
}

/// ZooKeeper and root path, and who says so.
fn found(said: &[Said]) -> (String, String) {
    let found = find(said).unwrap();
    let root = found.text(What::Root).unwrap_or(DEFAULT_ROOT);
    (format!("{}{root}", found.text(What::Servers).unwrap_or("?")), found.taken[0].place())
}

#[test]
fn each_source_comes_before_all_that_follow() {
    let servers = |name: &str| vec![say(What::Servers, name, "key")];
    let sources = [
        Source::CommandLine,
        Source::Environment,
        Source::FlagFile("f".into()),
        Source::Profile { name: "p".to_owned(), file: "c".into() },
        Source::Word,
        Source::Deployment("conf/nameserver.flags".into()),
        Source::Deployment("conf/tablet.flags".into()),
    ];
    let said: Vec<Said> = sources
        .iter()
        .enumerate()
        .map(|(at, source)| Said::by(source.clone(), servers(&format!("zk{at}:1"))))
        .collect();
    for at in 0..said.len() {
        let found = find(&said[at..]).unwrap();
        assert_eq!(found.taken[0].source, sources[at]);
        assert!(found.besides.iter().all(|besides| besides.differs));
        assert_eq!(found.besides.len(), said.len() - at - 1, "all others are told");
    }
}

#[test]
fn the_last_line_of_a_flag_counts_unless_it_is_a_comment() {
    // As sbin/deploy.sh leaves it.
    let text = "# nameserver.conf\n# --zk_cluster=127.0.0.1:2181\n--zk_cluster=old:2181\n--zk_root_path=/openmldb\n\
                \r\n  -zk_cluster = zk1:2181,zk2:2181 \r\n--zk_root_path=/prod\n#--zk_root_path=/comment\n--auto_failover=true\n";
    let place = "--zk_cluster in conf/nameserver.flags".to_owned();
    assert_eq!(found(&[file("conf/nameserver.flags", text)]), ("zk1:2181,zk2:2181/prod".to_owned(), place));
}

#[test]
fn a_root_path_and_a_certificate_are_taken_from_whoever_names_the_same_servers() {
    let conf = file("conf/nameserver.flags", "--zk_cluster=zk1:1,zk2:1\n--zk_root_path=/prod\n--zk_cert=u:hidden-1\n");
    let one_of_them = on_the_command_line(vec![say(What::Servers, "zk2:1", "--zk-cluster")]);
    let same = find(&[one_of_them, conf.clone()]).unwrap();
    assert_eq!(same.text(What::Root), Some("/prod"));
    assert_eq!(same.get(What::Certificate).map(Told::place).as_deref(), Some("--zk_cert in conf/nameserver.flags"));
    assert!(same.besides.iter().all(|besides| !besides.differs));
    let another =
        find(&[on_the_command_line(vec![say(What::Servers, "other:1", "--zk-cluster")]), conf.clone()]).unwrap();
    assert_eq!((another.get(What::Root), another.get(What::Certificate)), (None, None));
    assert!(another.besides.iter().all(|besides| besides.differs));
    let by_address =
        find(&[on_the_command_line(vec![say(What::Nameserver, "10.0.0.1:7527", "--nameserver")]), conf]).unwrap();
    assert_eq!(by_address.taken.len(), 1, "no ZooKeeper is asked");
    assert!(!format!("{same:?} {} {another:?}", same.taken[2].saying.value).contains("hidden"));
}

/// A profile names its cluster by a nameserver, and what is typed comes first.
#[test]
fn credentials_of_a_profile_go_to_no_other_cluster() {
    let auth = Saying { what: What::User, value: Value::File("/c/auth".into()), key: "auth_file" };
    let of_profile = Said::by(
        Source::Profile { name: "p".to_owned(), file: "/c/config.yaml".into() },
        vec![say(What::Nameserver, "ns:7527", "nameserver"), auth.clone()],
    );
    let user_for = |typed: Saying| {
        let found = find(&[on_the_command_line(vec![typed]), of_profile.clone()]).unwrap();
        found.get(What::User).map(|told| told.saying.clone())
    };
    assert_eq!(user_for(say(What::Servers, "zk:2181", "--zk-cluster")), None);
    assert_eq!(user_for(say(What::Nameserver, "other:7527", "--nameserver")), None);
    assert_eq!(user_for(say(What::Nameserver, "ns:7527", "--nameserver")), Some(auth));
}

#[test]
fn what_cannot_be_read_may_name_another_cluster() {
    let unreadable = Said {
        source: Source::Deployment("conf/nameserver.flags".into()),
        sayings: Vec::new(),
        unreadable: Some("permission denied".to_owned()),
    };
    let tablet = file("conf/tablet.flags", "--zk_cluster=zk:1\n");
    let error = find(&[unreadable.clone(), tablet]).unwrap_err().to_string();
    assert_eq!(error, "conf/nameserver.flags may say where the cluster is, but cannot be read: permission denied");
    let typed = on_the_command_line(vec![say(What::Servers, "zk:1", "--zk-cluster")]);
    assert!(find(&[typed, unreadable]).is_ok(), "whoever comes before it decides");
}

/// It was typed for a cluster, and misspelt perhaps: what lies below the working directory is not it.
#[test]
fn a_flagfile_without_a_cluster_leads_to_no_deployment_that_happens_to_be_there() {
    let flagfile = Said::by(Source::FlagFile("ns.flags".into()), vec![say(What::Root, "/prod", "--zk_root_path")]);
    let conf = file("conf/nameserver.flags", "--zk_cluster=zk:1\n");
    let error = find(&[flagfile.clone(), conf.clone()]).unwrap_err().to_string();
    let said = "ns.flags has no --zk_cluster, and the cluster that conf/nameserver.flags names may be another one";
    assert_eq!(error, said);
    let typed = on_the_command_line(vec![say(What::Servers, "zk:2", "--zk-cluster")]);
    assert_eq!(find(&[typed, flagfile, conf]).unwrap().text(What::Root), Some("/prod"));
}

#[test]
fn what_is_typed_and_not_heard_is_said() {
    let environment = Said::by(Source::Environment, vec![say(What::Servers, "zk1:1", "OPENMLDB_ZK_CLUSTER")]);
    let word = Said::by(Source::Word, vec![say(What::Servers, "zk2:1", "--cluster")]);
    let said = [environment.clone(), word];
    assert_eq!(
        find(&said).unwrap().notes(&said),
        ["using cluster zk1:1 from OPENMLDB_ZK_CLUSTER in the environment, which takes precedence over zk2:1 from \
             --cluster"]
    );
    let same = Said::by(Source::Word, vec![say(What::Servers, "zk1:1", "--cluster")]);
    let said = [environment, same];
    assert!(find(&said).unwrap().notes(&said).is_empty());
    let conf = [file("conf/tablet.flags", "--zk_cluster=zk:1\n")];
    assert_eq!(find(&conf).unwrap().notes(&conf), ["using cluster zk:1 from --zk_cluster in conf/tablet.flags"]);
}

const HOSTS: &str = "# format\n[tablet]\nlocalhost:10921 /tmp/tablet-1\n\n[nameserver]\nns:7527\n[zookeeper]\n\
                     zk1:2182:2888:3888 /tmp/zk\n # zk0:1\nzk2 /tmp/zk\n[taskmanager]\nlocalhost:9902\n";

fn scripts(hosts: &str, variables: &str) -> Option<(String, Option<String>)> {
    let sayings = deployment::cluster(hosts, variables, nowhere);
    let text = |what| sayings.iter().find(|saying| saying.what == what).map(|saying| saying.value.to_string());
    text(What::Servers).map(|servers| (servers, text(What::Root)))
}

#[test]
fn hosts_and_variables_are_read_as_openmldbs_scripts_read_them() {
    let variables = "export OPENMLDB_MODE=${OPENMLDB_MODE:=cluster}\nexport OPENMLDB_ZK_CLUSTER=\n\
                     export OPENMLDB_ZK_ROOT_PATH=/openmldb\nexport OPENMLDB_ZK_CLUSTER_CLIENT_PORT=2183\n";
    let with = |line: &str| scripts(HOSTS, &format!("{variables}{line}\n"));
    let root = || Some("/openmldb".to_owned());
    assert_eq!(with(""), Some(("zk1:2182,zk2:2183".to_owned(), root())));
    assert_eq!(with("export OPENMLDB_ZK_CLUSTER=\"a:1,b:1\" # ours"), Some(("a:1,b:1".to_owned(), root())));
    assert_eq!(with("# export OPENMLDB_ZK_CLUSTER=a:1"), Some(("zk1:2182,zk2:2183".to_owned(), root())));
    assert_eq!(with("OPENMLDB_ZK_ROOT_PATH='/late'"), Some(("zk1:2182,zk2:2183".to_owned(), Some("/late".to_owned()))));
    assert_eq!(with("export OPENMLDB_USE_EXISTING_ZK_CLUSTER=true"), None, "it is not theirs, and nobody names it");
    assert_eq!(with("export OPENMLDB_MODE=standalone"), None);
    assert_eq!(with("export OPENMLDB_ZK_CLUSTER=$(cat zk)"), Some(("zk1:2182,zk2:2183".to_owned(), root())));
    assert_eq!(scripts(HOSTS, ""), Some(("zk1:2182,zk2:2181".to_owned(), None)));
    assert_eq!(scripts("[tablet]\nlocalhost\n", ""), None);
}

#[test]
fn a_profile_names_a_cluster_and_the_files_with_its_credentials() {
    let text = "clusters:\n  prod:\n    zk_cluster: zk1:2181\n    zk_root_path: /prod\n    zk_cert_file: prod.cert\n  test: {nameserver: 'ns:7527'}\n";
    let of = |text: &str, name: &str| profile::cluster(text, name, Path::new("/c/config.yaml"));
    let said = |name: &str| of(text, name).unwrap();
    let certificate =
        Saying { what: What::Certificate, value: Value::File("/c/prod.cert".into()), key: "zk_cert_file" };
    let prod = [say(What::Servers, "zk1:2181", "zk_cluster"), say(What::Root, "/prod", "zk_root_path"), certificate];
    assert_eq!(said("prod"), prod);
    assert_eq!(said("test"), [say(What::Nameserver, "ns:7527", "nameserver")]);
    assert_eq!(
        of(text, "rpod").unwrap_err(),
        "there is no cluster `rpod` in /c/config.yaml; did you mean `prod`? it has prod, test"
    );
    assert_eq!(of("", "prod").unwrap_err(), "there is no cluster `prod` in /c/config.yaml; it has none");
    for nowhere in ["clusters:\n  prod:\n", "clusters:\n  prod: {zk_cluster: '', zk_root_path: /prod}\n"] {
        let error = of(nowhere, "prod").unwrap_err();
        assert_eq!(error, "cluster `prod` in /c/config.yaml has neither zk_cluster nor nameserver");
    }
    let wrong = of("clusters:\n  prod:\n    zk_servers: zk1\n", "prod").unwrap_err();
    assert!(wrong.starts_with("/c/config.yaml: clusters.prod: unknown field `zk_servers`"), "{wrong}");
}
