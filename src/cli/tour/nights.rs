//! The nights of the tour: what is said, what is typed, and how that ends.

/// A night.
pub struct Night {
    /// Its name, as the runbook has it.
    pub title: &'static str,
    /// What comes one after the other.
    pub stops: &'static [Stop],
}

/// A stop of the tour.
pub struct Stop {
    /// What is to be known before.
    pub says: &'static str,
    /// What is typed, without the program's name. `PLAN` stands for the id of the plan that a dry run of `recover --all` makes now,
    /// `TABLET3` for the third tablet's address.
    pub types: &'static str,
    /// The exit code with which it ends.
    pub ends: u8,
}

const fn stop(says: &'static str, types: &'static str, ends: u8) -> Stop {
    Stop { says, types, ends }
}

/// All of them; each begins with a cluster of its own in which everything was restarted.
pub const NIGHTS: [Night; 3] = [
    Night {
        title: "The whole cluster restarted",
        stops: &[
            stop(
                "Power was cut, and everything is back: nameserver, tablets, disks. First: can clients write?",
                "sandbox write",
                4,
            ),
            stop(
                "They cannot. The first line of `status` says so, too. Then comes why, and what to type.",
                "status",
                3,
            ),
            stop(
                "What would be done? A dry run looks at everything and changes nothing.",
                "recover --all --dry-run",
                0,
            ),
            stop(
                "Now do it. Every replica is loaded before a leader is chosen; what could lose a row is not done.",
                "recover --all",
                0,
            ),
            stop("The exit code was 0: everything serves and every copy is there. Clients agree.", "sandbox write", 0),
            stop("What was done, and why, is in the record, the newest last.", "record list", 0),
        ],
    },
    Night {
        title: "One machine is dead",
        stops: &[
            stop("A healthy cluster first, as on any day.", "recover --all", 0),
            stop("Then everything goes down at once ...", "sandbox kill all", 0),
            stop("... and two machines of three come back.", "sandbox start tablet1 tablet2 nameserver1", 0),
            stop(
                "By itself `recover` would wait five minutes for the third; here it is told not to. What can be proven to\n\
                 lose nothing comes back. What only the dead machine may know is left alone, and the exit code is 4.",
                "recover --all --wait-for-tablets 0",
                4,
            ),
            stop("The best case: somebody can start that machine again.", "sandbox start tablet3", 0),
            stop("So it is typed again. What is done already is not done twice.", "recover --all", 0),
            stop("And clients?", "sandbox write", 0),
        ],
    },
    Night {
        title: "A machine is gone for good",
        stops: &[
            stop("A healthy cluster again, ...", "recover --all", 0),
            stop("... everything goes down, ...", "sandbox kill all", 0),
            stop("... and the third machine has burnt.", "sandbox start tablet1 tablet2 nameserver1", 0),
            stop("What loses nothing comes back first.", "recover --all --wait-for-tablets 0", 4),
            stop(
                "For what is left alone a dry run says what would be lost by going on, replica by replica, under an id.",
                "recover --all --dry-run",
                4,
            ),
            stop(
                "To refuse the loss, type nothing more. To accept it, name it: the id of that list, and the machine that is\n\
                 gone. If anything has changed since, that is refused (exit code 5), and nothing is touched.",
                "recover --all --wait-for-tablets 0 --accept-data-loss PLAN --without TABLET3",
                4,
            ),
            stop(
                "What another machine has a copy of serves again. What had its only copy on the burnt one is still down, and named:\n\
                 its backup, or `explain out_of_reach`, is next; and a new machine for the copies that are missing.",
                "status",
                3,
            ),
        ],
    },
];
