use super::*;
use crate::fake::config::{ConfigSpace, Function};
use crate::fake::hotplug::AcpiSlots;
use proptest::prelude::*;
use std::vec::Vec;

const MIB: u64 = 1 << 20;

fn at(text: &str) -> Address {
    text.parse().unwrap()
}

fn ivshmem() -> Function {
    Function::ivshmem_plain(MIB)
}

fn bridge(bus: u8) -> Function {
    Function::new(0x1B36, 1).bridge(0, bus, bus)
}

/// `pc`: host bridge, PIIX4, a bridge, and slots 5 and 6; of the bus behind the bridge, slot 3.
fn pc() -> AcpiSlots<ConfigSpace> {
    let piix4 = Function::new(0x8086, 0x7113).class(0x06_8000, 3).subsystem(0x1AF4, 0x1100);
    let space = ConfigSpace::new()
        .with(at("00:00.0"), Function::new(0x8086, 0x1237).class(0x06_0000, 2))
        .with(at("00:01.0"), Function::new(0x8086, 0x7000).class(0x06_0100, 0).multi_function())
        .with(at("00:01.3"), piix4)
        .with(at("00:04.0"), bridge(1))
        .with(at("00:05.0"), ivshmem())
        .with(at("00:06.0"), ivshmem())
        .with(at("01:03.0"), ivshmem());
    AcpiSlots::new(space, &[0, 1], 0b1_0011).without(at("00:05.0")).without(at("00:06.0")).without(at("01:03.0"))
}

/// `q35`: root ports whose selectors run against their numbers, and no selector for the root bus.
fn q35(ports: u8) -> AcpiSlots<ConfigSpace> {
    let lpc = Function::new(0x8086, 0x2918).class(0x06_0100, 2).subsystem(0x1AF4, 0x1100);
    let space = ConfigSpace::new()
        .with(at("00:00.0"), Function::new(0x8086, 0x29C0).class(0x06_0000, 0))
        .with(at("00:1f.0"), lpc);
    let space = (1..=ports).fold(space, |space, bus| {
        let port = Address::new(0, 0, bus, 0).unwrap();
        space.with(port, bridge(bus)).with(slot_of(bus), ivshmem())
    });
    let buses: Vec<u8> = (1..=ports).rev().collect();
    (1..=ports).fold(AcpiSlots::new(space, &buses, 0), |slots, bus| slots.without(slot_of(bus)))
}

fn slot_of(bus: u8) -> Address {
    Address::new(0, bus, 0, 0).unwrap()
}

type Driver<'a> = Controller<&'a AcpiSlots<ConfigSpace>>;

/// What was there from the beginning has been announced.
fn driver(slots: &AcpiSlots<ConfigSpace>) -> Driver<'_> {
    let mut controller = Controller::find(slots, slots).unwrap();
    while controller.poll(slots).is_some() {}
    controller
}

#[test]
fn the_registers_are_where_the_chipset_is_qemus() {
    assert_eq!(base(&pc()), Some(0xAE00));
    assert_eq!(base(&q35(1)), Some(0x0CC0));
    let real = ConfigSpace::new().with(at("00:1f.0"), Function::new(0x8086, 0x2918).subsystem(0x1028, 0x0211));
    assert_eq!(base(&real), None, "the same chip, not QEMU's");
    assert_eq!(base(&ConfigSpace::new()), None);
}

#[test]
fn registers_that_do_not_answer_are_none() {
    let slots = q35(1);
    slots.die();
    assert!(Controller::find(&slots, &slots).is_none());
    struct Zeros;
    impl Registers for Zeros {
        fn read32(&self, _: u16) -> u32 {
            0
        }
        fn write32(&self, _: u16, _: u32) {}
    }
    // What keeps no selector is a root bus, if anything.
    assert_eq!(Controller::find(&q35(1), Zeros).unwrap().buses(), 1);
}

#[test]
fn what_is_there_from_the_beginning_is_added_once() {
    let slots = pc();
    let mut controller = Controller::find(&slots, &slots).unwrap();
    assert_eq!(controller.buses(), 2);
    let events: Vec<_> = core::iter::from_fn(|| controller.poll(&slots)).collect();
    assert_eq!(events, ["00:00.0", "00:01.0", "00:04.0"].map(|text| Event::Added(at(text))));
}

#[test]
fn several_come_and_go_in_their_own_order() {
    let slots = pc();
    let mut driver = driver(&slots);
    let (five, six) = (at("00:05.0"), at("00:06.0"));
    slots.add(six);
    slots.add(five);
    assert_eq!(driver.poll(&slots), Some(Event::Added(five)));
    assert_eq!(driver.poll(&slots), Some(Event::Added(six)));
    assert_eq!(driver.poll(&slots), None);
    slots.request(six);
    assert_eq!(driver.poll(&slots), Some(Event::RemovalRequested(six)));
    assert_eq!(driver.poll(&slots), None, "once, although the register says it until it is let go");
    slots.request(five);
    assert_eq!(driver.poll(&slots), Some(Event::RemovalRequested(five)));
    assert!(driver.finish_removal(five));
    assert_eq!(slots.ejected(), [(0, 1 << 5)]);
    assert_eq!(driver.poll(&slots), Some(Event::Removed(five)));
    assert!(!driver.finish_removal(five), "it is not there");
    assert!(driver.finish_removal(six));
    assert_eq!(driver.poll(&slots), Some(Event::Removed(six)));
    slots.add(five);
    assert_eq!(driver.poll(&slots), Some(Event::Added(five)));
}

#[test]
fn a_request_before_the_first_look_is_told_after_it_came() {
    let slots = pc();
    slots.add(at("00:05.0"));
    slots.request(at("00:05.0"));
    let mut controller = Controller::find(&slots, &slots).unwrap();
    let events: Vec<_> = core::iter::from_fn(|| controller.poll(&slots)).collect();
    let [.., added, requested] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((*added, *requested), (Event::Added(at("00:05.0")), Event::RemovalRequested(at("00:05.0"))));
}

#[test]
fn what_is_ejected_without_having_been_let_go_is_lost() {
    let slots = pc();
    let mut driver = driver(&slots);
    let device = at("00:05.0");
    for asked in [false, true] {
        slots.add(device);
        assert_eq!(driver.poll(&slots), Some(Event::Added(device)));
        if asked {
            slots.request(device);
            assert_eq!(driver.poll(&slots), Some(Event::RemovalRequested(device)));
        }
        slots.take(device);
        assert_eq!(driver.poll(&slots), Some(Event::Lost(device)));
        assert_eq!(driver.poll(&slots), None);
    }
    // Come and gone between two looks: nobody has seen it.
    slots.add(device);
    slots.take(device);
    assert_eq!(driver.poll(&slots), None);
}

#[test]
fn what_was_put_in_while_the_other_went_is_one_removed_and_one_added() {
    let slots = pc();
    let mut driver = driver(&slots);
    let device = at("00:05.0");
    slots.add(device);
    assert_eq!(driver.poll(&slots), Some(Event::Added(device)));
    assert!(driver.finish_removal(device));
    slots.add(device);
    assert_eq!(driver.poll(&slots), Some(Event::Removed(device)));
    assert_eq!(driver.poll(&slots), Some(Event::Added(device)));
    assert_eq!(driver.poll(&slots), None);
}

#[test]
fn a_selectors_bus_is_learned_when_something_happens_there() {
    let slots = q35(3);
    let mut driver = driver(&slots);
    assert_eq!(driver.buses(), 3, "the root bus has no slot of this kind");
    for bus in [2, 3, 1] {
        slots.add(slot_of(bus));
        assert_eq!(driver.poll(&slots), Some(Event::Added(slot_of(bus))));
    }
    for bus in [1, 2, 3] {
        slots.request(slot_of(bus));
        assert_eq!(driver.poll(&slots), Some(Event::RemovalRequested(slot_of(bus))));
        assert!(driver.finish_removal(slot_of(bus)));
        assert_eq!(slots.ejected().pop(), Some((3 - u32::from(bus), 1)));
        assert_eq!(driver.poll(&slots), Some(Event::Removed(slot_of(bus))));
    }
}

#[test]
fn nothing_is_ejected_on_a_guess() {
    let slots = q35(2);
    let mut driver = driver(&slots);
    slots.add(slot_of(1));
    slots.add(slot_of(2));
    assert_eq!(driver.poll(&slots), None, "which of them is which?");
    assert_eq!(driver.unresolved(), Some((0, 1)));
    assert!(!driver.bind(1, 32), "no such selector");
    assert!(driver.bind(1, 1));
    assert!(!driver.bind(1, 0) && !driver.bind(2, 1), "both are taken");
    assert_eq!(driver.poll(&slots), Some(Event::Added(slot_of(2))), "there is only one left for selector 0");
    assert_eq!(driver.poll(&slots), Some(Event::Added(slot_of(1))));
    assert_eq!(driver.unresolved(), None);

    let slots = q35(2);
    slots.add(slot_of(1));
    slots.add(slot_of(2));
    let mut driver = self::driver(&slots);
    slots.request(slot_of(2));
    assert_eq!(driver.poll(&slots), None);
    assert!(!driver.finish_removal(slot_of(2)));
    assert_eq!(slots.ejected(), []);
    assert!(driver.bind(2, 0));
    assert_eq!(driver.poll(&slots), Some(Event::RemovalRequested(slot_of(2))));
}

#[test]
fn without_bridges_there_is_the_root_bus_and_what_was_told_is_told_once() {
    let slots = pc().root_only();
    let mut driver = driver(&slots);
    assert_eq!(driver.buses(), 1);
    let device = at("00:05.0");
    for _ in 0..2 {
        slots.add(device);
        assert_eq!(driver.poll(&slots), Some(Event::Added(device)));
        assert_eq!(driver.poll(&slots), None);
        assert!(driver.finish_removal(device));
        assert_eq!(driver.poll(&slots), Some(Event::Removed(device)));
    }
}

#[test]
fn registers_that_die_take_nothing_with_them() {
    let slots = pc();
    let mut driver = driver(&slots);
    let device = at("00:05.0");
    slots.add(device);
    assert_eq!(driver.poll(&slots), Some(Event::Added(device)));
    slots.die();
    assert_eq!(driver.poll(&slots), None, "all-ones are no requests for everything");
    assert!(driver.finish_removal(device), "tried");
    assert_eq!(driver.poll(&slots), None, "and in vain");
    slots.take(device);
    assert_eq!(driver.poll(&slots), Some(Event::Removed(device)));
}

#[test]
fn a_selector_nobody_has_heard_of_is_nobodys() {
    let slots = pc();
    let mut driver = driver(&slots);
    // The bus of the second selector has nothing in slot 9, and nor has any other.
    slots.request(at("01:09.0"));
    assert_eq!(driver.poll(&slots), None);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Poll,
    Add(usize),
    Request(usize),
    Take(usize),
    LetGo(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Poll),
        2 => (0..3_usize).prop_map(Step::Add),
        2 => (0..3_usize).prop_map(Step::Request),
        1 => (0..3_usize).prop_map(Step::Take),
        2 => (0..3_usize).prop_map(Step::LetGo),
    ]
}

proptest! {
    #[test]
    fn in_any_order_each_device_that_came_goes_once(steps in prop::collection::vec(step(), 1..200), root_only: bool) {
        let places = ["00:05.0", "00:06.0", "01:03.0"].map(at);
        let slots = if root_only { pc().root_only() } else { pc() };
        let mut driver = driver(&slots);
        // In the slot; announced; asked for; let go.
        let mut truth = [(false, false, false, false); 3];
        let steps = steps.into_iter().chain([Step::Poll; 12]);
        for step in steps {
            let (Step::Add(n) | Step::Request(n) | Step::Take(n) | Step::LetGo(n)) = step else {
                slots.take_accesses();
                let event = driver.poll(&slots);
                prop_assert!(slots.take_accesses() <= 3 * 2);
                let Some(event) = event else { continue };
                let (Event::Added(address) | Event::RemovalRequested(address) | Event::Removed(address)
                    | Event::Lost(address)) = event else { panic!("{event:?}") };
                let place = places.iter().position(|place| *place == address).unwrap();
                let (_, up, requested, let_go) = &mut truth[place];
                match event {
                    Event::Added(_) => prop_assert!(!core::mem::replace(up, true)),
                    Event::RemovalRequested(_) => prop_assert!(*up && !core::mem::replace(requested, true)),
                    Event::Removed(_) => prop_assert!(core::mem::take(up) && core::mem::take(let_go)),
                    _ => prop_assert!(core::mem::take(up) && !*let_go),
                }
                if !*up {
                    *requested = false;
                }
                continue;
            };
            let (there, up, _, let_go) = &mut truth[n];
            match step {
                // What comes back before anybody saw that it went is not told from what stayed.
                Step::Add(_) if !(*there || *up && !*let_go || root_only && n == 2) => {
                    slots.add(places[n]);
                    *there = true;
                }
                Step::Request(_) if *there => slots.request(places[n]),
                Step::Take(_) if *there => {
                    slots.take(places[n]);
                    *there = false;
                }
                Step::LetGo(_) if *up && *there && !*let_go => {
                    prop_assert!(driver.finish_removal(places[n]));
                    (*there, *let_go) = (false, true);
                }
                _ => {}
            }
        }
        for (there, up, ..) in truth {
            prop_assert_eq!(there, up);
        }
    }
}
