//! How paths are watched, and where our objects live.

use patronus_model::layout::InterfacePrefix;

use super::Bfd;
use crate::section::section;
use crate::values::{Count, Mask, Percent, RouteProtocol, Span, Switch};

section!(
    /// How paths are watched, and when they count as bad.
    struct Health, "a health section" {
        /// BFD on every path. Both ends should have the same.
        bfd: Bfd, default "{}", eg "{interval: 50ms}";
        /// When a path that passes packets counts as degraded.
        degraded: Degraded, default "{}", eg "{loss: 2 %}";
        /// Dampening of paths that flap (after RFC 2439).
        dampening: Dampening, default "{}", eg "{half_life: 2m}";
        /// Time that a path may take to come up after start before it counts as down.
        start_grace: Span<0, 600_000, 1>, default "5s", eg "10s";
        /// Time for which a path is taken to be as it was after its far end said that it stops on
        /// purpose. It counts as down if the far end has not come back by then.
        stop_grace: Span<0, 600_000, 1>, default "60s", eg "2m";
    }
);

section!(
    /// When a path counts as degraded.
    struct Degraded, "a set of limits" {
        /// Smoothed round-trip time above which it does, or `off`.
        latency: Switch<Span<1, 60_000, 1>>, default "300ms", eg "150ms", "off";
        /// Loss above which it does, or `off`. It is estimated from BFD packets that did not come,
        /// to within some percent.
        loss: Switch<Percent>, default "10 %", eg "2.5 %", "off";
    }
);

section!(
    /// Dampening: each time a path goes down its penalty grows, and halves with time.
    struct Dampening, "a dampening section" {
        /// Penalty of going down once.
        penalty: Count<1, 1_000_000>, default "1000", eg "1000";
        /// Penalty above which nobody moves to the path unless there is no other.
        suppress: Count<1, 1_000_000>, default "2500", eg "2500";
        /// Penalty below which it is a candidate again; less than `suppress`.
        reuse: Count<1, 1_000_000>, default "750", eg "750";
        /// Time in which the penalty halves.
        half_life: Span<1_000, 86_400_000, 1>, default "60s", eg "2m";
        /// Greatest penalty, which bounds how long a path stays suppressed; at least `suppress`.
        ceiling: Count<1, 1_000_000>, default "6000", eg "6000";
    }
);

section!(
    /// Where our objects live in the kernel.
    struct Kernel, "a kernel section" {
        /// Protocol number of our routes, rules and nexthop objects, and link group of our tunnels.
        protocol: RouteProtocol, default "80", eg "80";
        /// Number of the first of 1,000 routing tables that are ours.
        table_base: Count<256, 4_294_966_295>, default "7000", eg "20000";
        /// Priority of the first of 1,000 routing rules that are ours; all come before the main
        /// table's 32766.
        rule_base: Count<1, 31_766>, default "1000", eg "2000";
        /// Beginning of the names of our interfaces: `pat` gives `pat0` and `pat-1-2`.
        interface_prefix: InterfacePrefix, default "pat", eg "pat";
        /// Which bits of packet marks we use. A packet or connection that we mark keeps no other
        /// bits, so software beside us must not mark forwarded traffic before us, which is at the
        /// priority `mangle` of the prerouting hook; what marks later, or other packets, needs
        /// bits that we do not use.
        marks: Marks, default "{}", eg "{uplink: 0x0f000000}";
    }
);

section!(
    /// Bits of packet marks. No two may overlap.
    struct Marks, "a set of marks" {
        /// Bits of the class: seven adjacent ones.
        class: Mask, default "0x0000007f", eg "0x0000007f";
        /// Bit of connections that have been classified: one.
        classified: Mask, default "0x00000080", eg "0x00000080";
        /// Bits of the generation of the classification rules: eight adjacent ones.
        epoch: Mask, default "0x0000ff00", eg "0x0000ff00";
        /// Bits of the uplink of a tunnel's outer packets: at least four adjacent ones.
        uplink: Mask, default "0x00ff0000", eg "0x00ff0000";
    }
);
