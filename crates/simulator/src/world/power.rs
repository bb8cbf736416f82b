//! Servers die, come back, and hold ZooKeeper sessions meanwhile.

use super::World;
use crate::Millis;
use openmldb_model::Endpoint;

/// A tablet's ZooKeeper session; none at all once its node is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Session {
    /// Its process holds it.
    Held,
    /// Nobody does any more; the node goes at that time (a stopped tablet does not close its session:
    /// docs/openmldb/metadata-in-zookeeper.md#tablets-register-themselves).
    Lingering(Millis),
}

impl Session {
    pub(super) fn ends(&self) -> Option<Millis> {
        match self {
            Self::Held => None,
            Self::Lingering(until) => Some(*until),
        }
    }
}

/// What became of starting a tablet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Started {
    /// It runs and is registered.
    Running,
    /// The node of its last run was still there, so it could not register and exited
    /// (docs/openmldb/metadata-in-zookeeper.md#tablets-register-themselves). Its node goes at this time; start it again
    /// then.
    Exited {
        /// World time.
        free_at: Millis,
    },
}

impl World {
    /// Whether a server answers.
    pub fn is_up(&self, endpoint: &Endpoint) -> bool {
        if self.nameserver_endpoints.contains(endpoint) {
            self.nameservers.is_running(endpoint.as_str())
        } else {
            self.tablets.is_up(endpoint.as_str())
        }
    }

    /// Whether a server stands still: its port is open, and it answers nothing until it goes on.
    pub fn is_frozen(&self, endpoint: &Endpoint) -> bool {
        self.frozen.contains(endpoint)
    }

    /// The tablets that are registered in ZooKeeper.
    pub fn registered_tablets(&self) -> Vec<Endpoint> {
        self.sessions.keys().cloned().collect()
    }

    /// SIGKILL of a nameserver.
    pub fn kill_nameserver(&mut self, endpoint: &Endpoint) {
        self.nameservers.kill(endpoint.as_str());
        self.frozen.remove(endpoint);
    }

    /// Starts a nameserver's process. One that runs stays as it is.
    pub fn start_nameserver(&mut self, endpoint: &Endpoint) {
        if self.nameservers.is_running(endpoint.as_str()) {
            return;
        }
        self.nameservers.start(endpoint.as_str(), self.now);
    }

    /// SIGKILL of a tablet. Its node stays for the session timeout.
    pub fn kill_tablet(&mut self, endpoint: &Endpoint) {
        self.tablets.kill(endpoint.as_str());
        self.frozen.remove(endpoint);
        self.let_go(endpoint);
    }

    /// Starts a tablet's process, which registers or exits. One that runs stays as it is.
    pub fn start_tablet(&mut self, endpoint: &Endpoint) -> Started {
        match self.sessions.get(endpoint) {
            Some(Session::Lingering(until)) => return Started::Exited { free_at: *until },
            Some(Session::Held) => return Started::Running,
            None => {}
        }
        self.tablets.start(endpoint.as_str());
        self.register(endpoint, true);
        Started::Running
    }

    /// SIGSTOP of a tablet, and SIGCONT again. While stopped its session may end; it registers anew when it goes on.
    pub fn freeze_tablet(&mut self, endpoint: &Endpoint, frozen: bool) {
        if self.is_frozen(endpoint) == frozen || (frozen && !self.is_up(endpoint)) {
            return;
        }
        self.tablets.freeze(endpoint.as_str(), frozen);
        if frozen {
            self.frozen.insert(endpoint.clone());
        } else {
            self.frozen.remove(endpoint);
        }
        match (frozen, self.sessions.get(endpoint)) {
            (true, _) => self.let_go(endpoint),
            (false, Some(_)) => {
                self.sessions.insert(endpoint.clone(), Session::Held);
            }
            (false, None) => self.register(endpoint, false),
        }
    }

    /// A tablet answers nobody, and goes on again; its ZooKeeper session is kept: its calls hang, its process does not.
    pub fn hang_tablet(&mut self, endpoint: &Endpoint, hangs: bool) {
        if !hangs {
            return self.freeze_tablet(endpoint, false);
        }
        if self.is_up(endpoint) {
            self.tablets.freeze(endpoint.as_str(), true);
            self.frozen.insert(endpoint.clone());
        }
    }

    /// SIGSTOP of a nameserver, and SIGCONT again. While stopped its session may end; another one leads then.
    pub fn freeze_nameserver(&mut self, endpoint: &Endpoint, frozen: bool) {
        if self.is_frozen(endpoint) == frozen || (frozen && !self.is_up(endpoint)) {
            return;
        }
        self.nameservers.freeze(endpoint.as_str(), frozen, self.now);
        if frozen {
            self.frozen.insert(endpoint.clone());
        } else {
            self.frozen.remove(endpoint);
        }
    }

    /// Every answer of a tablet takes so many milliseconds from now on, until other faults are set.
    pub fn slow_tablet(&mut self, endpoint: &Endpoint, by: Millis) {
        self.slow.insert(endpoint.clone(), by);
    }

    /// A tablet's ZooKeeper session expires: its node goes, and comes back as that of a process that only lost its session.
    pub fn expire_session(&mut self, endpoint: &Endpoint) {
        if self.sessions.remove(endpoint).is_none() {
            return;
        }
        self.nameservers.tablet_session_lost(endpoint.as_str(), self.now);
        if self.is_up(endpoint) {
            self.register(endpoint, false);
        }
    }

    /// SIGKILL of everything at once.
    pub fn kill_everything(&mut self) {
        for endpoint in self.tablet_endpoints.clone() {
            self.kill_tablet(&endpoint);
        }
        for endpoint in self.nameserver_endpoints.clone() {
            self.kill_nameserver(&endpoint);
        }
    }

    /// Starts everything that is down: first the tablets, again if they exit because their last node is still there,
    /// then the nameservers, which exit if they find too few tablets (docs/openmldb/nameserver.md#becoming-leader).
    /// Takes world time.
    pub fn start_everything(&mut self) {
        let tablets = self.tablet_endpoints.clone();
        self.start_tablets(&tablets);
        for endpoint in self.nameserver_endpoints.clone() {
            self.start_nameserver(&endpoint);
        }
    }

    /// Starts these tablets, each as often as it takes. Takes world time.
    pub fn start_tablets(&mut self, endpoints: &[Endpoint]) {
        for endpoint in endpoints {
            while let Started::Exited { free_at } = self.start_tablet(endpoint) {
                self.advance_to(free_at);
            }
        }
    }

    /// A process that holds a session lets go of it.
    fn let_go(&mut self, endpoint: &Endpoint) {
        if let Some(session @ Session::Held) = self.sessions.get_mut(endpoint) {
            *session = Session::Lingering(self.now + self.session_timeout);
        }
    }

    fn register(&mut self, endpoint: &Endpoint, startup: bool) {
        self.sessions.insert(endpoint.clone(), Session::Held);
        self.tablets.set_follows(endpoint.as_str(), self.zone().follows());
        let address = self.address_of(endpoint);
        self.map_name(endpoint, address.as_str());
        self.nameservers.tablet_registered(endpoint.as_str(), self.now, startup);
    }

    pub(super) fn end_sessions(&mut self) {
        let ended: Vec<Endpoint> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.ends().is_some_and(|until| until <= self.now))
            .map(|(endpoint, _)| endpoint.clone())
            .collect();
        for endpoint in ended {
            self.sessions.remove(&endpoint);
            self.nameservers.tablet_session_lost(endpoint.as_str(), self.now);
        }
    }
}
