//! Platforms whose messages are known: where identity, time and payload stand in each kind of message.
//!
//! Each is described by a file in `platform/`, in the same language that a route's own `envelope = { json = … }` uses.

use crate::config::{JsonEnvelope, read_layouts};

#[cfg(test)]
mod reference;

/// A platform that forwards what devices sent.
#[derive(Debug)]
pub struct Platform {
    /// As it is written in the configuration.
    pub name: &'static str,
    /// As its makers call it.
    pub title: &'static str,
    description: &'static str,
}

impl Platform {
    /// The layouts of its messages.
    pub fn layouts(&self) -> Vec<JsonEnvelope> {
        match read_layouts(self.name, self.description) {
            Ok(layouts) => layouts,
            Err(error) => unreachable!("BUG: the description of {} cannot be read: {error}", self.name),
        }
    }
}

macro_rules! platforms {
    ($($name:literal: $title:literal,)+) => {
        /// All of them, in the order of their names.
        pub const ALL: &[Platform] = &[$(Platform {
            name: $name,
            title: $title,
            description: include_str!(concat!("platform/", $name, ".toml")),
        }),+];
    };
}

platforms! {
    "aliyun": "Alibaba Cloud IoT Platform, rule engine and AMQP",
    "aws-iot": "AWS IoT Core for LoRaWAN",
    "azure": "Azure IoT Hub, events through Event Grid",
    "chirpstack": "ChirpStack v4",
    "ctwing": "China Telecom CTWing (AEP)",
    "dragino-nb": "Dragino's NB-IoT sensors in their JSON mode",
    "huawei-iotda": "Huawei Cloud IoTDA, forwarded or from the device",
    "huawei-oceanconnect": "Huawei OceanConnect",
    "milesight-gateway": "Milesight's LoRaWAN gateways",
    "onenet": "China Mobile OneNET",
    "the-things-stack": "The Things Stack v3",
    "unicom": "China Unicom's IoT platform (Gewu)",
}

/// The platform of this name.
pub fn find(name: &str) -> Option<&'static Platform> {
    ALL.iter().find(|platform| platform.name == name)
}
