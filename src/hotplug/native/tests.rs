use super::*;
use crate::fake::config::{ConfigSpace, Function, Garbage};
use crate::fake::hotplug::{Behaviour, Slot as Model};
use proptest::prelude::*;
use std::vec::Vec;

const MIB: u64 = 1 << 20;
/// Slot Control: power indicator blinking, on, off; attention indicator off, and on; power off.
const STARTED: u16 = 0x02C0;
const ON: u16 = 0x01C0;
const OFF: u16 = 0x07C0;
const FAILED: u16 = 0x0740;

fn port() -> Address {
    "00:04.0".parse().unwrap()
}

fn device() -> Address {
    "01:00.0".parse().unwrap()
}

fn model() -> Model<ConfigSpace> {
    with_port(Model::port(1))
}

fn with_port(function: Function) -> Model<ConfigSpace> {
    let space = ConfigSpace::new().with(port(), function).with(device(), Function::ivshmem_plain(MIB));
    Model::new(space, port(), device())
}

/// A slot, and the time.
struct Driver<'a> {
    model: &'a Model<ConfigSpace>,
    slot: Slot,
    now: u64,
}

impl<'a> Driver<'a> {
    fn new(model: &'a Model<ConfigSpace>) -> Self {
        let slot = Slot::at(model, port()).unwrap();
        model.take_counts();
        Self { model, slot, now: 5_000_000 }
    }

    /// A millisecond later.
    fn poll(&mut self) -> Option<Event> {
        self.now += 1000;
        let event = self.slot.poll(self.model, self.now);
        let (reads, writes) = self.model.take_counts();
        assert!(reads <= 4 && writes <= 4, "{reads} reads and {writes} writes in a call");
        event
    }

    /// The next event, and after how many milliseconds, of which there are at most 4000.
    fn event(&mut self) -> Option<(Event, u64)> {
        (1..=4000).find_map(|passed| self.poll().map(|event| (event, passed)))
    }

    #[track_caller]
    fn expect(&mut self, expected: Event) {
        assert_eq!(self.event().map(|(event, _)| event), Some(expected));
    }

    /// With the device up.
    fn up(model: &'a Model<ConfigSpace>) -> Self {
        let mut driver = Self::new(model);
        model.add();
        driver.expect(Event::Added(device()));
        model.take_commands();
        driver
    }
}

#[test]
fn what_is_added_gets_power_and_is_announced_a_tenth_of_a_second_after_its_link_is_active() {
    let model = model().behaving(Behaviour { trains_for: 3, completes_after: 2, ..Behaviour::default() });
    let mut driver = Driver::new(&model);
    assert_eq!(driver.event(), None, "an empty slot says nothing");
    model.add();
    assert_eq!(driver.poll(), None);
    assert_eq!(model.take_commands(), [STARTED]);
    assert_eq!(driver.event(), Some((Event::Added(device()), 4 + 100)));
    assert_eq!(model.take_commands(), [ON]);
    assert_eq!(driver.event(), None, "the button said that it came, not that it shall go");
    model.press();
    driver.expect(Event::RemovalRequested(device()));
    driver.slot.finish_removal();
    driver.expect(Event::Removed(device()));
    assert_eq!(model.take_commands(), [STARTED, OFF]);
    assert_eq!(model.early_commands(), 0);
}

#[test]
fn presence_without_the_button_is_enough() {
    let model = model();
    let mut driver = Driver::new(&model);
    model.insert();
    driver.expect(Event::Added(device()));
}

#[test]
fn what_is_there_from_the_beginning_is_announced_and_keeps_its_power() {
    let model = model().filled();
    let mut driver = Driver::new(&model);
    driver.expect(Event::Added(device()));
    assert_eq!(model.take_commands(), []);
}

#[test]
fn the_button_asks_and_asks_no_more_and_asks_again() {
    let model = model();
    let mut driver = Driver::up(&model);
    for (event, command) in [
        (Event::RemovalRequested(device()), STARTED),
        (Event::RemovalCancelled(device()), ON),
        (Event::RemovalRequested(device()), STARTED),
    ] {
        model.press();
        driver.expect(event);
        assert_eq!(model.take_commands(), [command]);
        assert_eq!(driver.event(), None);
    }
    assert!(driver.slot.finish_removal());
    assert!(!driver.slot.finish_removal(), "once");
    driver.expect(Event::Removed(device()));
    assert_eq!(model.take_commands(), [OFF], "power and indicator with one write: QEMU ejects at that");
    assert!(!model.is_filled());
    model.add();
    driver.expect(Event::Added(device()));
}

#[test]
fn pressed_twice_between_two_looks_is_pressed() {
    let model = model();
    let mut driver = Driver::up(&model);
    model.press();
    model.press();
    driver.expect(Event::RemovalRequested(device()));
    assert_eq!(driver.event(), None);
}

#[test]
fn a_request_while_it_comes_up_is_told_after_it_came() {
    let model = model();
    let mut driver = Driver::new(&model);
    model.add();
    assert_eq!(driver.poll(), None);
    model.press();
    driver.expect(Event::Added(device()));
    driver.expect(Event::RemovalRequested(device()));
}

#[test]
fn a_request_before_the_first_look_is_told_after_it_came() {
    let model = model().filled();
    model.press();
    let mut driver = Driver::new(&model);
    driver.expect(Event::Added(device()));
    driver.expect(Event::RemovalRequested(device()));
}

#[test]
fn it_may_be_let_go_without_being_asked() {
    let model = model();
    let mut driver = Driver::up(&model);
    assert!(driver.slot.finish_removal());
    driver.expect(Event::Removed(device()));
}

#[test]
fn what_stays_in_the_slot_gets_power_again_by_the_button_and_not_before_a_second() {
    let behaviour = Behaviour { stays: true, reports_link_changes: true, ..Behaviour::default() };
    let model = model().behaving(behaviour);
    let mut driver = Driver::up(&model);
    driver.slot.finish_removal();
    driver.expect(Event::Removed(device()));
    assert_eq!(driver.event(), None, "it is in the slot still, and off");
    driver.slot.unpowered = Some(driver.now);
    model.press();
    assert_eq!(driver.event().map(|(_, passed)| passed), Some(1000 + 101));
}

#[test]
fn what_was_put_in_while_the_other_went_comes_up() {
    let model = model();
    let mut driver = Driver::up(&model);
    driver.slot.finish_removal();
    assert_eq!(driver.poll(), None);
    assert!(!model.is_filled());
    model.add();
    driver.expect(Event::Removed(device()));
    driver.expect(Event::Added(device()));
}

#[test]
fn what_is_taken_is_lost_however_it_goes() {
    type Going = fn(&Model<ConfigSpace>);
    let link = Behaviour { reports_link_changes: true, ..Behaviour::default() };
    let ways: [(Behaviour, Going); 5] = [
        (Behaviour::default(), Model::take),
        (Behaviour::default(), Model::drop_link),
        (link, Model::drop_link),
        (Behaviour::default(), |model| drop(model.space().unplug(device()))),
        (Behaviour::default(), Model::lose_port),
    ];
    for (behaviour, goes) in ways {
        let model = model().behaving(behaviour);
        let mut driver = Driver::up(&model);
        goes(&model);
        assert_eq!(driver.poll(), Some(Event::Lost(device())));
        assert!(!driver.slot.finish_removal(), "there is nothing to let go");
        assert!(!matches!(driver.event(), Some((Event::Lost(_) | Event::Removed(_), _))), "once");
    }
}

#[test]
fn what_is_taken_after_it_was_asked_for_is_lost_and_after_it_was_let_go_is_removed() {
    let model = model();
    let mut driver = Driver::up(&model);
    model.press();
    driver.expect(Event::RemovalRequested(device()));
    model.take();
    driver.expect(Event::Lost(device()));
    model.add();
    driver.expect(Event::Added(device()));
    driver.slot.finish_removal();
    model.take();
    driver.expect(Event::Removed(device()));
    model.add();
    driver.expect(Event::Added(device()));
    driver.slot.finish_removal();
    model.lose_port();
    driver.expect(Event::Removed(device()));
}

#[test]
fn another_one_between_two_looks_is_one_lost_and_one_added() {
    // QEMU's slot would eject what is put in when the power of what is lost is switched off.
    let model = model().behaving(Behaviour { stays: true, ..Behaviour::default() });
    let mut driver = Driver::up(&model);
    model.take();
    model.insert();
    driver.expect(Event::Lost(device()));
    driver.expect(Event::Added(device()));
}

#[test]
fn what_goes_before_it_was_announced_is_never_announced() {
    let model = model();
    let mut driver = Driver::new(&model);
    for looks in [1, 2, 50, 101] {
        model.add();
        assert_eq!((0..looks).find_map(|_| driver.poll()), None);
        model.take();
        assert_eq!(driver.event(), None, "taken after {looks} looks");
    }
    model.add();
    driver.expect(Event::Added(device()));
}

#[test]
fn what_does_not_come_up_has_its_power_off_until_another_is_put_in() {
    let faults = [
        (Behaviour { faults: true, ..Behaviour::default() }, Fault::Power),
        (Behaviour { trains_for: usize::MAX, ..Behaviour::default() }, Fault::Link),
        (Behaviour { answers_after: usize::MAX, ..Behaviour::default() }, Fault::NoAnswer { identity: u32::MAX }),
    ];
    for (behaviour, fault) in faults {
        let model = model().behaving(Behaviour { stays: true, ..behaviour });
        let mut driver = Driver::new(&model);
        model.add();
        let (event, passed) = driver.event().unwrap();
        assert_eq!(event, Event::Failed(device(), fault));
        assert!(passed <= 1000 + 2, "{fault} after {passed} ms");
        assert_eq!(model.take_commands(), [STARTED, FAILED]);
        assert_eq!(driver.event(), None);
        // The button tries again.
        model.press();
        driver.expect(Event::Failed(device(), fault));
        // And so does whatever is put in instead.
        model.take();
        assert_eq!(driver.event(), None);
        model.behave(Behaviour::default());
        model.add();
        driver.expect(Event::Added(device()));
    }
}

#[test]
fn a_slot_that_never_completes_a_command_delays_it_by_a_second() {
    let model = model().behaving(Behaviour { completes_after: usize::MAX, ..Behaviour::default() });
    let mut driver = Driver::up(&model);
    model.press();
    driver.expect(Event::RemovalRequested(device()));
    assert!(driver.slot.finish_removal());
    let (event, passed) = driver.event().unwrap();
    assert_eq!(event, Event::Removed(device()));
    assert!((800..=1002).contains(&passed), "after {passed} ms");
    model.add();
    driver.expect(Event::Added(device()));
}

#[test]
fn without_indicators_power_and_completion_only_presence_counts() {
    // Hot-plug capable, by surprise, no command completed.
    let model = with_port(Model::port_with(1, 0x0004_0060)).behaving(Behaviour { stays: true, ..Behaviour::default() });
    let mut driver = Driver::new(&model);
    model.insert();
    driver.expect(Event::Added(device()));
    driver.slot.finish_removal();
    assert_eq!(driver.event(), None, "nobody can switch it off");
    model.take();
    driver.expect(Event::Removed(device()));
    assert_eq!(model.take_commands(), []);
}

#[test]
fn the_button_of_an_insertion_is_no_request_where_power_is_always_on() {
    // An attention button, but nothing to switch power with.
    let model = with_port(Model::port_with(1, 0x000A_0079)).behaving(Behaviour { stays: true, ..Behaviour::default() });
    let mut driver = Driver::new(&model);
    model.add();
    driver.expect(Event::Added(device()));
    assert_eq!(driver.event(), None);
    model.press();
    driver.expect(Event::RemovalRequested(device()));
}

#[test]
fn only_a_numbered_port_with_a_slot_for_hot_plug_is_one() {
    let at = |function: Function| Slot::at(&ConfigSpace::new().with(port(), function), port()).map(|_| ());
    let capabilities = 0x000A_003B;
    let error = SlotError::NotHotPlug { capabilities };
    assert_eq!(at(Model::port_with(1, capabilities)), Err(error));
    assert_eq!(at(Model::port_with(1, u32::MAX)), Err(SlotError::NotHotPlug { capabilities: u32::MAX }));
    assert_eq!(at(Model::port(0)), Err(SlotError::NoBus));
    assert_eq!(at(Function::new(1, 2).bridge(0, 1, 1)), Err(SlotError::NoSlot));
    assert_eq!(at(Function::new(1, 2).bridge(0, 1, 1).capability(0xF0, 0x10, &[0x42, 1])), Err(SlotError::NoSlot));
    // A root port without a slot; a switch's upstream port.
    for kind in [0x0042_u16, 0x0152] {
        let function = Function::new(1, 2).bridge(0, 1, 1).capability(0x54, 0x10, &kind.to_le_bytes());
        assert_eq!(at(function), Err(SlotError::NoSlot));
    }
    assert_eq!(at(Function::ivshmem_plain(MIB)), Err(SlotError::NotABridge));
    assert_eq!(Slot::at(&ConfigSpace::new(), port()).map(|_| ()), Err(SlotError::NotABridge));
    let slot = Slot::at(&with_port(Model::port_with(7, 0x000A_007B)), port()).unwrap();
    assert_eq!((slot.function(), slot.number()), ("07:00.0".parse().unwrap(), 1));
    assert!(slot.capabilities().contains(SlotCapabilities::POWER_CONTROLLER | SlotCapabilities::SURPRISE));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Poll(u64),
    Add,
    Insert,
    Press,
    Take,
    DropLink,
    LetGo,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..300_000_u64).prop_map(Step::Poll),
        2 => Just(Step::Poll(1_000_000)),
        2 => Just(Step::Add),
        1 => Just(Step::Insert),
        2 => Just(Step::Press),
        1 => Just(Step::Take),
        1 => Just(Step::DropLink),
        2 => Just(Step::LetGo),
    ]
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    let counts = (prop_oneof![0..4_usize, Just(usize::MAX)], prop_oneof![0..4_usize, Just(usize::MAX)], 0..4_usize);
    (counts, any::<[bool; 3]>()).prop_map(|((completes_after, trains_for, answers_after), [faults, stays, link])| {
        Behaviour { completes_after, trains_for, answers_after, faults, stays, reports_link_changes: link }
    })
}

proptest! {
    #[test]
    fn in_any_order_each_device_that_came_goes_once_and_every_call_is_bounded(
        steps in prop::collection::vec(step(), 1..200),
        behaviour in behaviour(),
        optional in 0..0x20_u32,
    ) {
        let model = with_port(Model::port_with(1, 0x000A_0060 | optional)).behaving(behaviour);
        let mut driver = Driver::new(&model);
        let (mut up, mut requested, mut let_go) = (false, false, false);
        for step in steps {
            match step {
                Step::Poll(later) => {
                    driver.now += later;
                    match driver.poll() {
                        Some(Event::Added(_)) => {
                            prop_assert!(!up);
                            (up, requested, let_go) = (true, false, false);
                        }
                        Some(Event::RemovalRequested(_)) => {
                            prop_assert!(up && !requested && !let_go);
                            requested = true;
                        }
                        Some(Event::RemovalCancelled(_)) => {
                            prop_assert!(up && requested && !let_go);
                            requested = false;
                        }
                        Some(Event::Removed(_)) => prop_assert!(core::mem::take(&mut up) && let_go),
                        Some(Event::Lost(_)) => prop_assert!(core::mem::take(&mut up) && !let_go),
                        Some(Event::Failed(..)) => prop_assert!(!up),
                        None => {}
                    }
                }
                Step::Add => model.add(),
                Step::Insert => model.insert(),
                Step::Press => model.press(),
                Step::Take => model.take(),
                Step::DropLink => model.drop_link(),
                Step::LetGo => {
                    let done = driver.slot.finish_removal();
                    prop_assert_eq!(done, up && !let_go);
                    let_go |= done;
                }
            }
        }
        // Whatever was, a slot that works takes a device that is put in.
        model.take();
        let second = |driver: &mut Driver<'_>| {
            driver.now += 1_000_000;
            driver.poll()
        };
        let ended = (0..8).filter_map(|_| second(&mut driver)).collect::<Vec<_>>();
        prop_assert!(ended.len() <= 2, "{ended:?}");
        model.behave(Behaviour::default());
        model.add();
        driver.now += 1_000_000;
        prop_assert_eq!(driver.event().map(|(event, _)| event), Some(Event::Added(device())));
    }

    #[test]
    fn registers_that_say_anything_are_looked_at_a_bounded_number_of_times(
        answers in prop::collection::vec(any::<u32>(), 1..50),
    ) {
        let model = model();
        let mut slot = Slot::at(&model, port()).unwrap();
        let garbage = Garbage::new(answers);
        for look in 1..200 {
            slot.poll(&garbage, look as u64 * 100_000);
            prop_assert!(garbage.reads() <= 4 * look && garbage.writes() <= 4 * look);
            slot.finish_removal();
        }
    }
}
