//! How paths are watched, and where our objects live.

use patronus_model::layout::{KernelLayout, Marks};
use patronus_model::router::{Dampening, HealthParams};

use super::bgp::bfd;
use crate::diagnostic::Sink;
use crate::file::{self, File};
use crate::place::Place;
use crate::read::Field;
use crate::values::Mask;

/// How paths are watched.
pub(super) fn health(file: &file::Health, or: &Place, sink: &mut Sink) -> Option<HealthParams> {
    let timers = file.bfd.value().and_then(|section| bfd(section, or, sink));
    let dampening = dampening(&file.dampening, sink);
    let degraded = file.degraded.value()?;
    Some(HealthParams {
        bfd: timers?,
        degraded_latency: degraded
            .latency
            .value()?
            .clone()
            .into_option()
            .map(|span| span.0),
        degraded_loss_permille: degraded.loss.value()?.clone().into_option().map(|p| p.0),
        dampening: dampening?,
        start_grace: file.start_grace.value()?.0,
        stop_grace: file.stop_grace.value()?.0,
    })
}

fn dampening(field: &Field<file::Dampening>, sink: &mut Sink) -> Option<Dampening> {
    let file = field.value()?;
    let dampening = Dampening {
        penalty: file.penalty.value()?.0,
        suppress: file.suppress.value()?.0,
        reuse: file.reuse.value()?.0,
        half_life: file.half_life.value()?.0,
        ceiling: file.ceiling.value()?.0,
    };
    let Dampening {
        suppress,
        reuse,
        ceiling,
        ..
    } = dampening;
    if reuse >= suppress {
        let place = file
            .reuse
            .given()
            .or(file.suppress.given())
            .map(|at| &at.place)?;
        let problem = format!("reuse {reuse} is not less than suppress {suppress}");
        sink.error(
            place,
            problem,
            "a path must calm down before it is used again",
        );
        return None;
    }
    if ceiling < suppress {
        let place = file
            .ceiling
            .given()
            .or(file.suppress.given())
            .map(|at| &at.place)?;
        let problem = format!("ceiling {ceiling} is less than suppress {suppress}");
        sink.error(
            place,
            problem,
            "no path would ever be suppressed; use at least suppress",
        );
        return None;
    }
    Some(dampening)
}

/// Where our objects live.
pub(super) fn layout(file: &File, sink: &mut Sink) -> Option<KernelLayout> {
    let kernel = file.kernel.value()?;
    let marks = marks(kernel.marks.value()?, sink);
    Some(KernelLayout {
        protocol: kernel.protocol.value()?.0,
        table_base: kernel.table_base.value()?.0,
        rule_base: kernel.rule_base.value()?.0,
        interface_prefix: kernel.interface_prefix.value()?.clone(),
        marks: marks?,
    })
}

/// How many bits a mark needs.
struct Width {
    least: u32,
    most: u32,
    words: &'static str,
}

fn marks(file: &file::Marks, sink: &mut Sink) -> Option<Marks> {
    let exactly = |bits, words| Width {
        least: bits,
        most: bits,
        words,
    };
    let fields = [
        ("class", &file.class, exactly(7, "seven adjacent bits")),
        ("classified", &file.classified, exactly(1, "one bit")),
        ("epoch", &file.epoch, exactly(8, "eight adjacent bits")),
        (
            "uplink",
            &file.uplink,
            Width {
                least: 4,
                most: 32,
                words: "at least four adjacent bits",
            },
        ),
    ];
    let mut good = true;
    let mut taken: Vec<(&str, u32)> = Vec::new();
    // Given ones last: a default is never the one to be put right.
    let (given, default): (Vec<_>, Vec<_>) =
        fields.iter().partition(|(_, f, _)| f.given().is_some());
    for (name, field, width) in default.into_iter().chain(given) {
        let (Some(Mask(mask)), at) = (field.value(), field.given()) else {
            continue;
        };
        if let Some(at) = at {
            good &= has_width(*mask, width, &at.place, sink);
            if let Some((other, bits)) = taken.iter().find(|(_, bits)| bits & mask != 0) {
                let problem = format!("{mask:#010x} overlaps with {other}, {bits:#010x}");
                sink.error(&at.place, problem, "no two marks may have a bit in common");
                good = false;
            }
        }
        taken.push((*name, *mask));
    }
    let marks = Marks {
        class: file.class.value()?.0,
        classified: file.classified.value()?.0,
        epoch: file.epoch.value()?.0,
        uplink: file.uplink.value()?.0,
    };
    good.then_some(marks)
}

fn has_width(mask: u32, width: &Width, place: &Place, sink: &mut Sink) -> bool {
    let bits = mask.count_ones();
    let good = (width.least..=width.most).contains(&bits);
    if !good {
        let s = if bits == 1 { "" } else { "s" };
        let problem = format!("{mask:#010x} has {bits} bit{s}");
        sink.error(place, problem, format!("use {}", width.words));
    }
    good
}
