//! The processes: devices, Mosquitto (or the broker in citywire), citywire with both kinds of sink, VictoriaMetrics.

use std::time::{Duration, Instant};

use super::database_tap::DatabaseTap;
use super::device::{Fleet, Kind, ROUTES, device_of};
use super::mqtt_tap::MqttTap;
use super::scenario::{Scenario, Victim};
use crate::support::{Citywire, Mosquitto, TempDir, VictoriaMetrics, counter_profile, free_port, wait_until};

/// As `shutdown_grace` says.
pub const GRACE: Duration = Duration::from_secs(10);

pub struct Rig {
    pub citywire: Citywire,
    pub broker: Broker,
    pub database: VictoriaMetrics,
    pub database_tap: DatabaseTap,
    pub fleet: Fleet,
    /// When citywire was started last, and how long its first start took.
    pub launched: Instant,
    pub start_took: Duration,
    _profiles: TempDir,
}

pub enum Broker {
    Mosquitto(Mosquitto, MqttTap),
    /// The one in citywire.
    Embedded,
}

impl Rig {
    pub async fn start(scenario: &Scenario) -> Rig {
        let (database, profiles, port) = (VictoriaMetrics::start(), counter_profile(), free_port());
        let database_tap = DatabaseTap::start(database.url()).await;
        let (broker, port, source) = if scenario.embedded_broker {
            (Broker::Embedded, port, format!("[broker.embedded]\nlisten = \"127.0.0.1:{port}\"\n"))
        } else {
            // Saving each change, it takes some hundred messages a second; that is only needed where it is killed.
            let mosquitto = match scenario.victims.contains(&Victim::Mosquitto) {
                true => Mosquitto::start_saving_each_change(),
                false => Mosquitto::start_quietly(),
            };
            let (tap, port) = (MqttTap::start(mosquitto.port()).await, mosquitto.port());
            // MQTT 5 only: while Mosquitto is down the tap closes connections, which citywire may take for a broker that speaks
            // nothing newer than 3.1.1; that passes on no number of a message.
            let source =
                format!("[broker]\nurl = \"{}\"\nprotocol = \"5\"\nreconnect_delay_max = \"1s\"\n", tap.url());
            (Broker::Mosquitto(mosquitto, tap), port, source)
        };
        let launched = Instant::now();
        let citywire = Citywire::start(&configuration(&source, &database_tap.url(), &profiles));
        let start_took = launched.elapsed();
        let fleet = Fleet::start(port);
        Rig { citywire, broker, database, database_tap, fleet, launched, start_took, _profiles: profiles }
    }

    pub fn launch(&mut self) {
        self.launched = Instant::now();
        self.citywire.launch();
    }

    /// How many PUBLISHes went to citywire.
    pub fn deliveries(&self) -> u64 {
        match &self.broker {
            Broker::Mosquitto(_, tap) => tap.deliveries(),
            Broker::Embedded => self.fleet.sent(),
        }
    }

    /// Waits until everything that the devices may send is published, delivered, journaled and written.
    pub async fn settle(&mut self) {
        self.citywire.wait_until_ready();
        self.wait_for_devices().await;
        if let Broker::Mosquitto(_, tap) = &self.broker {
            // Mosquitto delivers in order: behind this message there is nothing left.
            let (device, number) = self.fleet.allow_last();
            let is_last = |topic: &[u8], payload: &[u8]| {
                device_of(topic) == Some(device) && Kind::Plain.value_of(payload) == Some(number)
            };
            let delivered = || tap.ends_with(|handover| is_last(&handover.topic, &handover.payload));
            wait_until("the last message is delivered and acknowledged", delivered).await;
            wait_until("the last message has its PUBACK", || self.fleet.is_done()).await;
        }
        self.citywire.wait_until_written(0).await;
    }

    /// Until every message has its PUBACK, however many there are: as long as some come.
    async fn wait_for_devices(&self) {
        loop {
            let acknowledged = self.fleet.acknowledged();
            if self.fleet.is_done() {
                return;
            }
            wait_until("a message has its PUBACK", || self.fleet.acknowledged() > acknowledged).await;
        }
    }
}

/// Small segments and batches, so that kills meet many of their beginnings and ends.
fn configuration(source: &str, database: &str, profiles: &TempDir) -> String {
    let batch = "batch_delay_max = \"20ms\"\nbatch_points_max = 50\n";
    format!(
        "shutdown_grace = \"{}s\"\n{source}\
         [journal]\nsegment_bytes = \"64KiB\"\n\
         {ROUTES}\
         [[sink]]\nkind = \"embedded\"\nretention = \"36500d\"\n{batch}\
         [[sink]]\nkind = \"influxdb2\"\nname = \"city\"\nurl = \"{database}\"\ntoken = \"secret\"\ngzip = false\n\
         retry_delay_max = \"1s\"\n{batch}\
         [profiles]\ndirectory = {:?}\n",
        GRACE.as_secs(),
        profiles.path()
    )
}
