//! Partial results in words: on stderr, and on stdout those that a command is run for.

use std::any::Any;

use polycl_app::RefineSummary;
use polycl_app::bench::propagate::Measured;
use polycl_app::suggest::Table;
use polycl_base::counted;
use polycl_data::Origin;
use polycl_metrics::Report;
use polycl_nn::train::{Epoch, LabelWeight, Record, finetune, pretrain};

use crate::talk;

/// Tells a part of a result. Those of which only machines have need are passed by.
pub fn partial(result: &dyn Any) {
    if let Some(Epoch { of, record, .. }) = result.downcast_ref() {
        talk::note(epoch(record, *of));
    } else if let Some(plan) = result.downcast_ref() {
        finetuning(plan);
    } else if let Some(plan) = result.downcast_ref() {
        pretraining(plan);
    } else if let Some(decided) = result.downcast_ref() {
        decisions(decided);
    } else if let Some(found) = result.downcast_ref() {
        propagation(found);
    } else if let Some(report) = result.downcast_ref::<Report>() {
        talk::data(report);
    } else if let Some(Table(table)) = result.downcast_ref() {
        talk::data(table);
    }
}

fn epoch(record: &Record, of: usize) -> String {
    let score = record.score.map(|score| format!("  validation Dice {score:.4}")).unwrap_or_default();
    let probe = record.probe.map(|probe| {
        let presence = probe.presence.map(|area| format!("presence {area:.2}  ")).unwrap_or_default();
        format!("  {presence}height {:.2}  identity {:.2}", probe.height, probe.identity)
    });
    let Record { epoch, loss, rate, seconds, .. } = record;
    let probe = probe.unwrap_or_default();
    format!("epoch {epoch}/{of}  loss {loss:.5}{score}{probe}  learning rate {rate:.1e}  {seconds:.1} s")
}

fn finetuning(plan: &finetune::Plan) {
    let finetune::Plan {
        organs, training_patients, validation_patients, slices, shown, flip, partial, ..
    } = plan;
    let what = if let [organ] = &organs[..] { organ.as_str() } else { "an organ" };
    let validate = match validation_patients {
        0 => String::new(),
        1 => "; 1 more patient validates".to_owned(),
        count => format!("; {count} more patients validate"),
    };
    talk::note(format!(
        "{}: {} of {}, {shown} with {what}{validate}",
        organs.join(", "),
        counted(*slices, "slice"),
        counted(*training_patients, "patient"),
    ));
    if let Some(weight) = plan.label_weight {
        let origins = Origin::counts(plan.origins.iter().copied());
        let counts = match weight {
            LabelWeight::Confidence if !plan.alike => "slices count by their confidence",
            LabelWeight::Confidence | LabelWeight::Equal => "all slices count alike",
            LabelWeight::Drawn => "only drawn slices count",
        };
        talk::note(format!("note: masks of the training scans: {origins}; {counts}"));
    }
    if let (slices @ 1.., scans) = plan.taught {
        talk::note(format!(
            "self-training: a first network draws on {} of {}, within the ranges named",
            counted(slices, "slice"),
            counted(scans, "scan")
        ));
    }
    if plan.left_out > 0 {
        let slices = counted(plan.left_out, "slice");
        talk::note(format!("note: left out, since nobody has drawn them or named what they show: {slices}"));
    }
    if plan.bare > 0 {
        talk::note(format!("note: left out, since no slice is drawn: {}", counted(plan.bare, "scan")));
    }
    // Of several organs it may be another one each time.
    if organs.len() == 1 && slices == shown {
        talk::note("note: every slice that trains shows an organ: the network does not learn where it ends");
    }
    if *partial > 0 {
        let scans = counted(*partial, "scan");
        talk::note(format!("note: left out, since the masks do not draw all of these organs: {scans}"));
    }
    if plan.unvalidated {
        talk::note("note: too few patients labelled by hand to validate; the last weights are the result");
    }
    if plan.unflipped && !flip {
        talk::note("note: no left-right flips: an organ's mirror image is not among those segmented");
    }
}

fn pretraining(plan: &pretrain::Plan) {
    let pretrain::Plan { method, scans, items, skipped, unknown } = plan;
    let what = if *method == pretrain::Method::Polycl { "triplet" } else { "slice" };
    let mut text = format!("{} from {}", counted(*items, what), counted(*scans, "scan"));
    if *skipped > 0 {
        text += &format!("; no anchors, since no other slice fits: {}", counted(*skipped, "slice"));
    }
    if *unknown > 0 {
        let slices = counted(*unknown, "slice");
        text += &format!("; not known whether the organ is shown: {slices}");
    }
    talk::note(text);
}

/// One line about all decisions of a case.
pub fn decisions(RefineSummary { case, choices, components, changed, tiny }: &RefineSummary) {
    if *components == 0 {
        talk::note(format_args!("{case}: the coarse mask is empty, and stays empty"));
        return;
    }
    let counts = choices.iter().map(|(choice, count)| format!("{count} {choice}"));
    let counts = counts.collect::<Vec<_>>().join(", ");
    talk::note(format_args!("{case}: {changed} of {components} components changed ({counts})"));
    if tiny == components {
        talk::note(format_args!("{case}: all components are too small to prompt the network"));
    }
}

fn propagation(measured: &Measured) {
    match measured {
        Measured::Begun => talk::data("label,name,drawn,dice,hd95,slices,missed,false,start\n"),
        Measured::Volume { label, organ, start, dice, hd95, slices, missed, added, drawn } => {
            let drawn = drawn.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            talk::data(format_args!(
                "{label},{organ},{start},{dice:.4},{hd95:.2},{slices},{missed},{added},{drawn}\n"
            ));
        }
        Measured::Slice {
            label,
            start,
            slice,
            area,
            pixels,
            dice,
            confidence,
            predicted_iou,
            agreement,
            continuity,
            away,
        } => talk::data(format_args!(
            "SLICE,{start},{label},{slice},{area},{pixels},{dice:.4},{confidence:.4},{predicted_iou:.4},\
             {agreement:.4},{continuity:.4},{away}\n"
        )),
        Measured::Second { label, start, suggested, first, own, others, best } => talk::data(format_args!(
            "SECOND,{label},{start},{suggested},first {first:.4},suggested {own:.4},others {others:.4},best {best:.4}\n"
        )),
    }
}
