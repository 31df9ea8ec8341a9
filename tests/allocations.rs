//! Decoding does not allocate: once the buffers have grown, a payload costs no call of the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use citywire::decode::expression::Expression;
use citywire::decode::{self, Readings};
use citywire::point::{Origin, Points};
use citywire::profile::Library;
use citywire::profile::example::Expect;
use citywire::registry::Coordinates;
use citywire::time::Timestamp;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is the system allocator's; only a counter is touched beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn count() {
    // A thread that ends allocates after its counter is gone.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    assert!(allocations_of(|| drop(std::hint::black_box(vec![1u8; 100]))) > 0);
}

#[test]
fn a_payload_is_decoded_and_made_points_of_without_an_allocation() {
    let library = Library::built_in().unwrap();
    let mut readings = Readings::new();
    let mut points = Points::new(Duration::from_secs(86_400));
    let mut examples = 0;
    for profile in library.profiles() {
        for example in profile.examples.iter().filter(|example| matches!(example.expect, Expect::Readings(_))) {
            let tags = [("pilot", "huichuan"), ("district", "east")];
            let origin = Origin {
                device: "d1",
                tags: &tags,
                location: Some(Coordinates { latitude: 31.2304, longitude: 121.4737 }),
                platform_time: None,
                received: Timestamp::now(),
            };
            let mut made = 0;
            let mut once = || {
                decode::decode(profile, &example.payload, &example.context(), &mut readings).unwrap();
                points.make(&origin, profile, &readings, &mut |_| made += 1);
            };
            // The first time, buffers grow.
            once();
            assert_eq!(allocations_of(once), 0, "{} {}", profile.id, example.name);
            assert!(made >= 2);
            examples += 1;
        }
    }
    assert!(examples >= 30, "{examples} examples");
}

#[test]
fn an_expression_is_evaluated_without_an_allocation() {
    let f = |text: &str, expected: f64| {
        let expression = Expression::parse(text, &mut |_| Some(0)).unwrap();
        let once = || assert_eq!(std::hint::black_box(&expression).evaluate(|_| Some(2.675)), Some(expected));
        assert_eq!(allocations_of(once), 0, "{text}");
    };
    f("if(x > 2 and not x == 3, max(x, 1) * 2, 0)", 5.35);
    // These go by way of decimal digits.
    f("round(x, 2)", 2.68);
    f("decimal(x, -30)", 2.675e-30);
}
