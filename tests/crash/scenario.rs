//! Who is killed, when, and in which order: drawn from a seed.

use std::time::{Duration, Instant};

use fastrand::Rng;

use super::outcome::Outcome;
use super::rig::{Broker, GRACE, Rig};

/// A kind of trouble.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// The broker is the one in citywire, not Mosquitto.
    pub embedded_broker: bool,
    /// In each round one of these is ended, or several at once.
    pub victims: &'static [Victim],
    pub ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    Citywire,
    Mosquitto,
    Database,
}

/// How citywire ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGKILL, at any moment.
    Killed,
    /// SIGTERM in the middle of the stream; it has to exit with 0 within `shutdown_grace`.
    Stopped,
}

const CITYWIRE: &[Victim] = &[Victim::Citywire];

pub const CITYWIRE_KILLED: Scenario =
    Scenario { name: "citywire killed", embedded_broker: false, victims: CITYWIRE, ending: Ending::Killed };
pub const MOSQUITTO_KILLED: Scenario = Scenario {
    name: "Mosquitto and citywire killed",
    embedded_broker: false,
    victims: &[Victim::Mosquitto, Victim::Citywire],
    ending: Ending::Killed,
};
pub const EMBEDDED_KILLED: Scenario =
    Scenario { name: "embedded broker killed", embedded_broker: true, victims: CITYWIRE, ending: Ending::Killed };
pub const DATABASE_KILLED: Scenario = Scenario {
    name: "database and citywire killed",
    embedded_broker: false,
    victims: &[Victim::Database, Victim::Citywire],
    ending: Ending::Killed,
};
pub const ALL_KILLED: Scenario = Scenario {
    name: "all killed",
    embedded_broker: false,
    victims: &[Victim::Citywire, Victim::Mosquitto, Victim::Database],
    ending: Ending::Killed,
};
pub const CITYWIRE_STOPPED: Scenario =
    Scenario { name: "citywire stopped", embedded_broker: false, victims: CITYWIRE, ending: Ending::Stopped };
pub const EMBEDDED_STOPPED: Scenario =
    Scenario { name: "embedded broker stopped", embedded_broker: true, victims: CITYWIRE, ending: Ending::Stopped };

pub const ALL: &[Scenario] = &[
    CITYWIRE_KILLED,
    MOSQUITTO_KILLED,
    EMBEDDED_KILLED,
    DATABASE_KILLED,
    ALL_KILLED,
    CITYWIRE_STOPPED,
    EMBEDDED_STOPPED,
];

/// How often each was ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kills {
    pub citywire: u32,
    /// Of those, before it was ready, and after a SIGTERM.
    pub starting: u32,
    pub stopping: u32,
    pub mosquitto: u32,
    pub database: u32,
    /// Ends by SIGTERM alone.
    pub stops: u32,
}

impl Kills {
    /// What the number of kills that is asked for counts.
    fn count(&self) -> u32 {
        self.citywire + self.mosquitto + self.database + self.stops
    }
}

/// Messages that each device may send in a round, at least and at most: so many that with 100 kills Mosquitto's packet
/// identifiers go round, and those of messages that are alike meet again.
const MESSAGES: std::ops::RangeInclusive<u32> = 20..=80;

/// A stream that stands still, because the round before has left nothing to deliver, is not waited for any longer.
const STREAM_PATIENCE: Duration = Duration::from_secs(5);

/// Ends processes until `kills` were ended, then lets everything come to rest and looks what is where.
pub async fn run(scenario: Scenario, kills: u32, seed: u64) -> Outcome {
    let started = Instant::now();
    let rig = Rig::start(&scenario).await;
    let mut run = Run { scenario, rig, rng: Rng::with_seed(seed), kills: Kills::default() };
    while run.kills.count() < kills {
        run.round().await;
    }
    run.rig.settle().await;
    Outcome::of(scenario, run.rig, run.kills, started)
}

struct Run {
    scenario: Scenario,
    rig: Rig,
    rng: Rng,
    kills: Kills,
}

impl Run {
    async fn round(&mut self) {
        let messages = self.rng.u32(MESSAGES);
        // Not much more than the broker takes meanwhile.
        if self.rig.fleet.left() < u64::from(self.rig.fleet.len() * MESSAGES.end()) {
            self.rig.fleet.allow(messages);
        }
        let victims = self.draw_victims();
        // Often in the middle of the stream, else while citywire starts and reads what the last kill has left.
        if victims[0] == Victim::Citywire && self.scenario.ending == Ending::Killed && self.rng.u32(..5) == 0 {
            self.wait_into_start().await;
        } else {
            self.wait_into_stream(messages).await;
        }
        for victim in &victims {
            self.end(*victim).await;
            self.pause(30).await;
        }
        let mut victims = victims;
        self.rng.shuffle(&mut victims);
        for victim in victims {
            self.pause(100).await;
            self.start(victim);
        }
    }

    /// One of them half of the time, else any number, in any order.
    fn draw_victims(&mut self) -> Vec<Victim> {
        let mut victims = self.scenario.victims.to_vec();
        self.rng.shuffle(&mut victims);
        let count = if self.rng.bool() { 1 } else { self.rng.usize(1..=victims.len()) };
        victims.truncate(count);
        victims
    }

    async fn wait_into_stream(&mut self, messages: u32) {
        let more = self.rng.u64(1..=u64::from(messages * self.rig.fleet.len()));
        let (until, deadline) = (self.rig.deliveries() + more, Instant::now() + STREAM_PATIENCE);
        while self.rig.deliveries() < until && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        self.pause(5).await;
    }

    async fn wait_into_start(&mut self) {
        let moment = self.rig.start_took.mul_f64(1.2 * self.rng.f64());
        tokio::time::sleep_until((self.rig.launched + moment).into()).await;
    }

    /// For a part of so many milliseconds: the moment is drawn, and nothing is waited for.
    async fn pause(&mut self, milliseconds_max: u64) {
        tokio::time::sleep(Duration::from_micros(self.rng.u64(..milliseconds_max * 1000))).await;
    }

    async fn end(&mut self, victim: Victim) {
        match victim {
            Victim::Citywire => self.end_citywire().await,
            Victim::Mosquitto => {
                let Broker::Mosquitto(mosquitto, _) = &mut self.rig.broker else { unreachable!("no Mosquitto here") };
                mosquitto.kill();
                self.kills.mosquitto += 1;
            }
            Victim::Database => {
                self.rig.database.kill();
                self.kills.database += 1;
            }
        }
    }

    async fn end_citywire(&mut self) {
        self.rig.citywire.assert_runs();
        if self.scenario.ending == Ending::Stopped {
            self.stop();
            return;
        }
        let ready = self.rig.citywire.is_ready();
        // Also in the middle of coming to an end.
        if ready && self.rng.u32(..6) == 0 {
            self.rig.citywire.signal("TERM");
            self.pause(20).await;
            self.kills.stopping += 1;
        }
        self.rig.citywire.kill();
        self.kills.citywire += 1;
        self.kills.starting += u32::from(!ready);
    }

    /// Waits until it can be told to stop, and has begun to receive.
    fn stop(&mut self) {
        self.rig.citywire.wait_until_ready();
        let told = Instant::now();
        let status = self.rig.citywire.stop();
        assert!(status.success(), "SIGTERM in the middle of the stream: {status}");
        // A promise to service managers, which kill what takes longer.
        assert!(told.elapsed() < GRACE, "stopping took {:?}", told.elapsed());
        self.kills.stops += 1;
    }

    fn start(&mut self, victim: Victim) {
        match victim {
            Victim::Citywire => self.rig.launch(),
            Victim::Mosquitto => {
                let Broker::Mosquitto(mosquitto, _) = &mut self.rig.broker else { unreachable!("no Mosquitto here") };
                mosquitto.resume();
            }
            Victim::Database => self.rig.database.resume(),
        }
    }
}
