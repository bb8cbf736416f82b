//! The tool's own cost: CPU, memory and calls, for a snapshot, a plan and a whole recovery. Each is measured in a process of
//! its own, and what the simulated cluster spends answering is taken off.

use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use openmldb_ops::cluster::{Cluster, Options};
use openmldb_ops::playbook::Playbook;
use openmldb_ops::rehearse::{Generate, Rehearsal};
use openmldb_ops::run::{Scope, UnfinishedWork, prepare_plan};
use openmldb_ops::sandbox::scenario::likeness;
use openmldb_ops::sandbox::world::Settings;
use openmldb_ops::sandbox::{InProcess, in_virtual_time};
use openmldb_ops::snapshot;
use serde_json::{Value, json};

use super::table::{Book, rounded};
use super::timed::{Spent, Timed};
use super::{Size, calls};

/// 30 replicas of a row for each of a tablet's partitions; a hundred tablets at most, as clusters go.
pub const SIZES: [Size; 3] = [
    Size { tablets: 10, tables: 125, partitions: 8, rows: 10 },
    Size { tablets: 100, tables: 1_250, partitions: 8, rows: 10 },
    Size { tablets: 100, tables: 12_500, partitions: 8, rows: 10 },
];

const WORK: [&str; 4] = ["snapshot", "plan", "fast", "recover"];

/// Runs it.
pub fn run(book: &mut Book, quick: bool) {
    let about =
        "the tool's own CPU, memory and calls; growth is of CPU per partition since the row above of the same work";
    book.begin("cost", about);
    for work in WORK {
        let mut before: Option<f64> = None;
        for size in SIZES.iter().take(sizes(work, quick)) {
            let Some(measured) = measure(work, *size) else {
                book.row("cost", &[work.into(), size.name().into()]);
                continue;
            };
            let number = |name: &str| measured[name].as_f64().unwrap_or(f64::NAN);
            let (cpu, total) = (number("cpu_s"), size.total() as f64);
            let each = cpu * 1e6 / total;
            book.row(
                "cost",
                &[
                    work.into(),
                    size.name().into(),
                    rounded(cpu),
                    each.round().into(),
                    before.map_or(Value::Null, |before| rounded(each / before)),
                    number("peak_mib").round().into(),
                    rounded(number("calls") / total),
                    rounded(number("cluster_s")),
                    rounded(number("virtual_s")),
                ],
            );
            let methods = measured["methods"].as_object().into_iter().flatten();
            let methods = methods.map(|(name, calls)| (name.as_str(), calls.as_u64().unwrap_or(0)));
            calls::keep(book, work, &size.name(), size.total(), methods);
            before = Some(each);
        }
    }
}

/// How many of the sizes. Through the nameserver's lanes ten thousand partitions take twelve hours, in which the simulated
/// nameserver looks at every tablet every two seconds: that alone takes a quarter of an hour of ours.
fn sizes(work: &str, quick: bool) -> usize {
    match (work, quick) {
        ("recover", _) => 1,
        (_, true) => 2,
        (_, false) => SIZES.len(),
    }
}

/// A size as such a process is told it.
pub fn sizes_of(Size { tablets, tables, partitions, rows }: Size) -> String {
    format!("tablets={tablets},tables={tables},partitions={partitions},rows={rows}")
}

/// Measures in a new process, whose peak memory is its own.
fn measure(work: &str, size: Size) -> Option<Value> {
    let program = std::env::current_exe().ok()?;
    let sizes = sizes_of(size);
    let ran = Command::new(program).args(["child", work, &sizes]).output().ok()?;
    if !ran.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&ran.stderr));
        return None;
    }
    serde_json::from_slice(&ran.stdout).ok()
}

/// The work of such a process: prints what it measured.
pub fn child(arguments: &[&str]) -> ExitCode {
    let [work, sizes] = arguments else { return ExitCode::from(2) };
    let generate: Generate = sizes.parse().expect("sizes");
    let measured = match *work {
        "snapshot" => taking_a_snapshot(&generate),
        "plan" => planning(&generate),
        playbook => recovering(&generate, playbook),
    };
    println!("{measured}");
    ExitCode::SUCCESS
}

fn taking_a_snapshot(generate: &Generate) -> Value {
    let like = likeness(&generate.snapshot(), Settings::default()).expect("a likeness");
    let spent = Spent::default();
    let meter = Meter::start(&spent);
    let (_world, calls) = in_virtual_time(like.world, async |live| {
        let cluster = Cluster::new(Arc::new(Timed::new(InProcess::new(live.clone()), &spent)), Options::default());
        snapshot::collect(&cluster, "benchmark", 0).await.expect("a snapshot");
        cluster.rpc_counts().reads
    })
    .expect("a runtime");
    meter.stop(calls, 0)
}

fn planning(generate: &Generate) -> Value {
    let like = likeness(&generate.snapshot(), Settings::default()).expect("a likeness");
    let (_world, seen) = in_virtual_time(like.world, async |live| {
        let cluster = Cluster::new(Arc::new(InProcess::new(live.clone())), Options::default());
        snapshot::collect(&cluster, "benchmark", 0).await.expect("a snapshot")
    })
    .expect("a runtime");
    let playbook = Playbook::find("recover").expect("a built-in playbook");
    let spent = Spent::default();
    let meter = Meter::start(&spent);
    let prepared = prepare_plan(seen, &playbook, &Scope::All, UnfinishedWork::default(), None).expect("a plan");
    let measured = meter.stop(0, 0);
    assert_eq!(prepared.plan.counts.total as u64, generate.tables * generate.partitions);
    measured
}

fn recovering(generate: &Generate, playbook: &str) -> Value {
    let like = likeness(&generate.snapshot(), Settings::default()).expect("a likeness");
    let playbook = Playbook::find(playbook).expect("a built-in playbook");
    let rehearsal = Rehearsal { likeness: &like, playbook: &playbook, faults: &[], seed: 1 };
    let world = rehearsal.world();
    let spent = Spent::default();
    let meter = Meter::start(&spent);
    let played = rehearsal.play(world, |calls| Arc::new(Timed::new(calls, &spent))).expect("a rehearsal");
    let rpc = played.recovered.summary.rpc;
    meter.stop(rpc.reads + rpc.mutations, played.timeline.redundant.all_ms.unwrap_or(0))
}

/// What this process has used, from a moment on.
struct Meter<'a> {
    spent: &'a Spent,
    cpu: Duration,
    resident_kib: u64,
}

impl<'a> Meter<'a> {
    fn start(spent: &'a Spent) -> Self {
        Self { spent, cpu: cpu(), resident_kib: status_kib("VmRSS:") }
    }

    /// The peak is over what the simulated cluster needed at the start.
    fn stop(self, calls: u64, virtual_ms: u64) -> Value {
        let cluster = self.spent.so_far();
        let cpu = (cpu() - self.cpu).saturating_sub(cluster);
        let peak_kib = status_kib("VmHWM:").saturating_sub(self.resident_kib);
        json!({
            "cpu_s": cpu.as_secs_f64(),
            "cluster_s": cluster.as_secs_f64(),
            "peak_mib": peak_kib as f64 / 1024.0,
            "calls": calls,
            "methods": self.spent.calls(),
            "virtual_s": virtual_ms as f64 / 1000.0,
        })
    }
}

/// CPU time of this thread, which does all the work (proc(5): nanoseconds on the CPU come first).
pub fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0))
}

fn status_kib(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
