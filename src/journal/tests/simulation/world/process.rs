//! The process that has the journal: its threads' work, how it ends and how it starts.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use super::super::super::{Progress, prepare};
use super::super::consumer::Consumer;
use super::super::model::{Checked, claim};
use super::super::peer::{Connection, End};
use super::super::schedule::Nature;
use super::{Crash, Desk, Process, World};
use crate::broker::client::handover::Handovers;
use crate::journal::compression::Compressor;
use crate::journal::queue::Item;
use crate::journal::shared::Shared;
use crate::journal::writer::Writer;
use crate::journal::{Reader, Severity};

impl World {
    // What the journal's thread does.

    pub(super) fn accept(&mut self) -> Checked {
        let mut items = Vec::new();
        let World { process, model, setting, .. } = self;
        let Some(Process { shared, writer, .. }) = process else { return Ok(()) };
        shared.queue.take(&mut items);
        for item in items {
            let before = writer.last();
            let received = match &item {
                Item::Message(message) => Some(message.received),
                Item::Forget(source) => {
                    model.forget(*source as usize);
                    None
                }
            };
            writer.accept(item);
            if let Some(received) = received {
                let number = model.receipt_at(received)?;
                model.accepted(number, writer.last() > before, setting.window)?;
            }
            claim!(writer.last() == model.last(), "the last number is {} and due is {}", writer.last(), model.last());
        }
        writer.acknowledge();
        Ok(())
    }

    pub(super) fn commit(&mut self) -> Checked<Progress> {
        let now = self.now();
        let Process { writer, shared, .. } = self.process()?;
        let progress = writer.commit(now);
        let (durable, all) = (shared.durable(), !writer.has_pending());
        self.model.committed(durable, all)?;
        Ok(progress)
    }

    // What consumers do.

    pub(super) fn read(&mut self, consumer: usize, bytes: usize) -> Checked<usize> {
        let World { process, consumers, model, .. } = self;
        let Some(process) = process else { return Ok(0) };
        consumers[consumer].read(&process.shared, model, bytes)
    }

    /// Deletes the cursors of consumers that are not in the configuration, as the service does when it starts. If that
    /// fails, the next start does it.
    pub(super) fn retain_cursors(&mut self) -> Checked {
        let names: Vec<&str> = self.consumers.iter().filter(|one| one.is_there).map(|one| one.name).collect();
        let process = self.process.as_ref().ok_or("there is no process")?;
        let (shared, disk) = (&process.shared, &self.disk);
        drop(shared.cursors.retain(disk, &shared.options.directory, &names));
        Ok(())
    }

    // How processes end and start.

    /// If the process was killed in the middle of an operation, the next one starts.
    pub(super) fn bury_the_dead(&mut self) -> Checked {
        if !self.disk.is_dead() {
            return Ok(());
        }
        self.disk.revive();
        self.crash(if self.power { Crash::PowerLost } else { Crash::Killed })
    }

    pub(super) fn crash(&mut self, how: Crash) -> Checked {
        for peer in 0..self.peers.len() {
            let acks = self.random.usize(..4);
            self.disconnect(peer, acks)?;
            self.peers[peer].client = None;
        }
        self.consumers.iter_mut().for_each(Consumer::crash);
        self.disk.clear_interruption();
        self.process = None;
        if how == Crash::PowerLost {
            self.replay.crash();
            self.disk.lose_power(&mut self.random);
        }
        self.start()
    }

    /// SIGTERM: what was handed over is committed if that is possible, and acknowledged.
    pub(super) fn stop(&mut self) -> Checked {
        for peer in &mut self.peers {
            if let Some(Connection { end: End::Client(handover), .. }) = &mut peer.connection {
                handover.stop();
            }
        }
        self.process()?.shared.queue.close();
        self.accept()?;
        let now = self.now();
        let Process { writer, shared, .. } = self.process()?;
        let left = writer.finish(now);
        let (durable, last, all) = (shared.durable(), writer.last(), !writer.has_pending());
        self.model.committed(durable, all)?;
        claim!(left == last - durable, "{left} messages are told as not durable, and {} are not", last - durable);
        if self.disk.is_dead() {
            return Ok(());
        }
        for peer in 0..self.peers.len() {
            self.send_acks(peer)?;
            self.receive_acks(peer, usize::MAX)?;
        }
        self.crash(Crash::Killed)
    }

    /// Starts a process, as often as it takes: whoever starts it tries again when it fails.
    pub(super) fn start(&mut self) -> Checked {
        const ATTEMPTS: usize = 12;
        for _ in 0..ATTEMPTS {
            let opened = prepare(Arc::new(self.disk.clone()), self.setting.options(), self.now());
            let died = self.disk.is_dead();
            match opened {
                Ok((shared, writer, recovery)) if !died => {
                    let damage = recovery.findings.iter().find(|finding| finding.severity == Severity::Damage);
                    claim!(
                        damage.is_none(),
                        "a crash is told as damage: {}",
                        damage.map_or(String::new(), |one| one.to_string())
                    );
                    return self.started(shared, writer);
                }
                Err(error) if !died => claim!(self.faults, "the journal does not open: {error}"),
                _ => {}
            }
            if died {
                self.disk.revive();
                if self.power {
                    self.replay.crash();
                    self.disk.lose_power(&mut self.random);
                }
            }
        }
        Err("the journal does not open, though nothing fails any more".into())
    }

    fn started(&mut self, shared: Arc<Shared>, writer: Writer) -> Checked {
        let oldest = shared.index().oldest();
        let sessions = self.peers.iter().enumerate().map(|(peer, one)| (peer, one.sessions)).collect();
        self.model.restarted(oldest, shared.durable(), sessions)?;
        claim!(writer.last() == self.model.last(), "the writer goes on at {}", writer.last());
        let desk = Arc::new(Desk { shared: shared.clone(), full: AtomicBool::new(false) });
        for (source, peer) in (0..).zip(&mut self.peers) {
            let client = || Handovers::new(desk.clone(), self.metrics.clone(), source, self.setting.window);
            peer.client = (peer.nature != Nature::Device).then(client);
        }
        let compressor = Arc::new(Mutex::new(Compressor::new(shared.clone())));
        self.process = Some(Process { shared, writer, desk, compressor });
        self.check_contents()?;
        self.retain_cursors()?;
        let World { process, consumers, .. } = self;
        let Some(process) = process else { return Ok(()) };
        consumers.iter_mut().try_for_each(|consumer| consumer.restarted(&process.shared))
    }

    /// Every entry that is kept is as it was written, and none is missing.
    pub(super) fn check_contents(&self) -> Checked {
        let Some(Process { shared, .. }) = &self.process else { return Ok(()) };
        let oldest = shared.index().oldest();
        let mut reader = Reader::live(shared.clone(), oldest - 1);
        let mut entries = Vec::new();
        self.disk.while_sound(|| {
            while reader.read(&mut entries, 1 << 20).map_err(|error| error.to_string())? > 0 {}
            Ok::<_, String>(())
        })?;
        claim!(reader.lost() == 0, "{} entries from {oldest} on cannot be read", reader.lost());
        let count = entries.len() as u64;
        claim!(oldest + count == shared.durable() + 1, "{count} entries from {oldest} on up to {}", shared.durable());
        entries.iter().try_for_each(|entry| self.model.check(entry))
    }
}
