//! Nameserver processes, the lock they queue for, and what happens when one gets it
//! (docs/openmldb/nameserver.md#becoming-leader).

use super::lanes::Lanes;
use super::membership::{Arrival, Members};
use super::poll::Round;
use super::timers::Event;
use super::{Leading, Memory, Millis, Nameservers, TabletPort};

/// A nameserver process.
#[derive(Debug, Clone)]
pub(super) struct Process {
    endpoint: String,
    pub(super) running: bool,
    /// Stopped by SIGSTOP: it does nothing and answers nothing.
    frozen: bool,
    /// Counts starts, so that what was meant for a dead one is void.
    life: u64,
    /// Whether it has queued for the lock since it started.
    queued: bool,
    /// Tablets as it has seen them come and go; while it leads they are in its [`Memory`].
    pub(super) members: Members,
}

impl Process {
    pub(super) fn running(endpoint: &str) -> Self {
        let members = Members::default();
        Self { endpoint: endpoint.to_owned(), running: true, frozen: false, life: 0, queued: true, members }
    }
}

impl Nameservers {
    /// The process dies. Its lock node stays until its session expires, so that for a while nobody leads.
    pub fn kill(&mut self, endpoint: &str) {
        let Some(process) = self.processes.iter_mut().find(|process| process.endpoint == endpoint) else { return };
        process.running = false;
        process.frozen = false;
        process.queued = false;
        process.members = Members::default();
        self.reading.take_if(|reading| reading == endpoint);
        self.stop_leading(endpoint);
        self.let_lock_go(endpoint);
    }

    /// Nobody keeps its session any more.
    fn let_lock_go(&mut self, endpoint: &str) {
        let expires = self.now + self.settings.lock_lingers_ms;
        for lock in self.zk.locks.values_mut().filter(|lock| lock.endpoint == endpoint && lock.expires.is_none()) {
            lock.expires = Some(expires);
        }
        self.timers.set(expires, Event::LockNodesExpire);
    }

    /// SIGSTOP of a process, and SIGCONT again. What was due meanwhile happens when it goes on. If its session has ended by then
    /// another one leads, and it queues for the lock anew.
    pub fn freeze(&mut self, endpoint: &str, frozen: bool, now: Millis) {
        self.now = self.now.max(now);
        let Some(process) = self.processes.iter_mut().find(|process| process.endpoint == endpoint) else { return };
        if !process.running || process.frozen == frozen {
            return;
        }
        process.frozen = frozen;
        if frozen {
            return self.let_lock_go(endpoint);
        }
        let mut has_lock = false;
        for lock in self.zk.locks.values_mut().filter(|lock| lock.endpoint == endpoint) {
            lock.expires = None;
            has_lock = true;
        }
        if !has_lock && process.queued {
            process.queued = false;
            let event = Event::AskForLock { endpoint: endpoint.to_owned(), life: process.life };
            self.timers.set(self.now + self.settings.lock_delay_ms, event);
        }
        for event in std::mem::take(&mut self.deferred) {
            self.timers.set(self.now, event);
        }
    }

    /// Whether the process is stopped by SIGSTOP.
    pub fn is_frozen(&self, endpoint: &str) -> bool {
        self.process(endpoint).is_some_and(|process| process.frozen)
    }

    /// The process starts. It answers at once, with 300, and queues for the lock a little later; if a node of its former
    /// life is still first in the queue it gets the lock by that.
    pub fn start(&mut self, endpoint: &str, now: Millis) {
        self.now = self.now.max(now);
        let process = match self.processes.iter().position(|process| process.endpoint == endpoint) {
            Some(at) => self.processes.get_mut(at),
            None => {
                self.processes.push(Process { running: false, queued: false, ..Process::running(endpoint) });
                self.processes.last_mut()
            }
        };
        let Some(process) = process.filter(|process| !process.running) else { return };
        process.running = true;
        process.life += 1;
        for tablet in self.zk.nodes.keys().filter(|tablet| !self.missed.contains(*tablet)) {
            process.members.arrive(tablet, self.now);
            self.zk.table_notify += 1;
        }
        let event = Event::AskForLock { endpoint: endpoint.to_owned(), life: process.life };
        self.timers.set(self.now + self.settings.lock_delay_ms, event);
    }

    /// Whether the process runs, leading or not.
    pub fn is_running(&self, endpoint: &str) -> bool {
        self.process(endpoint).is_some_and(|process| process.running && !process.frozen)
    }

    pub(super) fn ask_for_lock(&mut self, endpoint: &str, life: u64, tablets: &mut dyn TabletPort) {
        let waiting = self
            .processes
            .iter_mut()
            .find(|process| process.endpoint == endpoint && process.life == life && process.running && !process.queued);
        if let Some(process) = waiting {
            process.queued = true;
            self.zk.queue_for_lock(endpoint);
            self.elect(tablets);
        }
    }

    pub(super) fn expire_lock_nodes(&mut self, tablets: &mut dyn TabletPort) {
        let now = self.now;
        self.zk.locks.retain(|_, lock| lock.expires.is_none_or(|expires| expires > now));
        self.elect(tablets);
    }

    /// The process whose endpoint the first node names has the lock, even if the node is left from its former life.
    fn elect(&mut self, tablets: &mut dyn TabletPort) {
        let Some(first) = self.zk.locks.values().next().map(|lock| lock.endpoint.clone()) else { return };
        if self.leader() == Some(&first) || self.reading.as_ref() == Some(&first) {
            return;
        }
        self.reading = None;
        if let Some(former) = self.leader().map(str::to_owned) {
            self.stop_leading(&former);
        }
        if !self.process(&first).is_some_and(|process| process.running && process.queued && !process.frozen) {
            return;
        }
        if self.zk.nodes.len() < self.settings.system_table_replica_num {
            // Too few tablets for the system tables: the process exits.
            self.kill(&first);
            return;
        }
        if self.reads_back {
            self.reading = Some(first);
            return;
        }
        self.lead(&first, tablets);
    }

    /// A process becomes leader and recovers what ZooKeeper holds.
    pub(super) fn lead(&mut self, endpoint: &str, tablets: &mut dyn TabletPort) {
        self.missed.clear();
        self.reigns += 1;
        let known = self.processes.iter_mut().find(|process| process.endpoint == endpoint);
        let members = known.map(|process| std::mem::take(&mut process.members)).unwrap_or_default();
        self.memory = Some(Memory {
            endpoint: endpoint.to_owned(),
            reign: self.reigns,
            members,
            lanes: Lanes::default(),
            retrying_finish: false,
            op_fate: None,
            reconnected_at: 0,
            reports: super::Reports::default(),
        });
        if let Some(mut leading) = self.leading(tablets) {
            leading.recover();
        }
    }

    /// What the process had in memory only is gone; if it still runs, it goes on watching tablets.
    fn stop_leading(&mut self, endpoint: &str) {
        let Some(memory) = self.memory.take_if(|memory| memory.endpoint == endpoint) else { return };
        self.zk.tables.revert_to_saved();
        if let Some(process) = self.processes.iter_mut().find(|process| process.endpoint == endpoint && process.running)
        {
            process.members = memory.members;
        }
    }

    fn process(&self, endpoint: &str) -> Option<&Process> {
        self.processes.iter().find(|process| process.endpoint == endpoint)
    }
}

impl Leading<'_> {
    /// What OpenMLDB calls Recover, and the start of its timers.
    fn recover(&mut self) {
        self.meet_tablets();
        self.memory.members.recount_offline();
        self.update_table_status();
        self.resume_ops();
        let offline: Vec<_> =
            self.memory.members.offline().map(|(endpoint, since)| (endpoint.to_owned(), since)).collect();
        for (endpoint, since) in offline {
            self.watch_absence(&endpoint, since);
        }
        self.poll_tasks(Round::TakingOver);
        let reign = self.memory.reign;
        self.timers.set(self.now + self.settings.get_table_status_interval_ms, Event::StatusPass { reign });
        self.timers.set(self.now + self.settings.get_task_status_interval_ms, Event::TaskPoll { reign });
    }

    fn meet_tablets(&mut self) {
        for tablet in self.zk.nodes.keys() {
            if self.memory.members.arrive(tablet, self.now) == Arrival::New {
                self.zk.table_notify += 1;
            }
        }
        let gone: Vec<_> = self
            .memory
            .members
            .healthy()
            .filter(|tablet| !self.zk.nodes.contains_key(*tablet))
            .map(str::to_owned)
            .collect();
        for tablet in gone {
            self.memory.members.leave(&tablet, self.now);
        }
    }
}
