//! Medians, and lines through them.

/// The middle value, or the mean of the two in the middle; `None` without values.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some((upper + *values.get(middle - 1)?) / 2.0)
}

/// The slope of the line through the medians of all pairs, and its height where the first coordinate is 0 (Theil and Sen): a few
/// points that are far off are nothing to it. `None` for fewer than two points apart.
pub(crate) fn line_through(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let pairs = points
        .iter()
        .enumerate()
        .flat_map(|(place, first)| points.iter().skip(place + 1).map(move |second| (first, second)));
    let slopes = pairs.map(|(first, second)| (second.1 - first.1) / (second.0 - first.0));
    let slope = median(slopes.filter(|slope| slope.is_finite()).collect())?;
    let height = median(points.iter().map(|(x, y)| y - slope * x).collect())?;
    Some((slope, height))
}
