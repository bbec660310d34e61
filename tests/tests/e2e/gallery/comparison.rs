//! Whether two pictures show the same to a person.
//!
//! Another version of a browser or of a font library smooths edges differently, which no person
//! sees. So the comparison first blurs both pictures, by more than such a difference reaches, and
//! only then compares them point by point. A part that has moved, is missing or has another colour
//! survives a blur.

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, imageops};

/// How far a blur reaches, in points.
const BLUR: f32 = 2.0;
/// By how much a channel of a blurred point may differ, of 255.
const TOLERANCE: u8 = 14;
/// How many points may differ by more.
const FEW: usize = 8;
/// By how many points the sizes may differ: a line may be higher by one, and a page has many.
const SIZE_TOLERANCE: u32 = 2;

/// That two pictures differ.
pub(super) struct Difference {
    /// By what, in words.
    pub(super) what: String,
    /// The second picture, pale, with the points that differ in red.
    pub(super) marked: RgbImage,
}

/// Compares two pictures in WebP; nothing where they show the same.
pub(super) fn compare(expected: &[u8], actual: &[u8]) -> Option<Difference> {
    compare_images(&decoded(expected), &decoded(actual))
}

fn decoded(picture: &[u8]) -> RgbImage {
    image::load_from_memory_with_format(picture, ImageFormat::WebP).unwrap().to_rgb8()
}

fn compare_images(expected: &RgbImage, actual: &RgbImage) -> Option<Difference> {
    let (was, is) = (expected.dimensions(), actual.dimensions());
    let size = (was.0.min(is.0), was.1.min(is.1));
    let soft = |picture: &RgbImage| {
        let part = imageops::crop_imm(picture, 0, 0, size.0, size.1).to_image();
        imageops::fast_blur(&part, BLUR)
    };
    let (soft_expected, soft_actual) = (soft(expected), soft(actual));
    let differs = |&(before, after): &(&Rgb<u8>, &Rgb<u8>)| {
        before.0.iter().zip(after.0).any(|(before, after)| before.abs_diff(after) > TOLERANCE)
    };
    let count = soft_expected.pixels().zip(soft_actual.pixels()).filter(differs).count();
    let has_size = was.0 == is.0 && was.1.abs_diff(is.1) <= SIZE_TOLERANCE;
    let what = if has_size {
        format!("{count} of {} points differ", size.0 * size.1)
    } else {
        format!("is {}×{} points, and was {}×{}", is.0, is.1, was.0, was.1)
    };
    if has_size && count <= FEW {
        return None;
    }
    let mut marked = DynamicImage::from(actual.clone()).grayscale().brighten(60).to_rgb8();
    for (x, y, point) in marked.enumerate_pixels_mut() {
        let is_common = x < size.0 && y < size.1;
        if !is_common || differs(&(soft_expected.get_pixel(x, y), soft_actual.get_pixel(x, y))) {
            *point = Rgb([220, 0, 40]);
        }
    }
    Some(Difference { what, marked })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A card with lines of text on a page: dark strokes of a point, as letters are at this scale.
    fn page() -> RgbImage {
        RgbImage::from_fn(300, 200, |x, y| {
            let is_card = (20..280).contains(&x) && (20..180).contains(&y);
            let is_line = (40..260).contains(&x) && (40..160).contains(&y) && y % 12 < 5;
            match (is_card, is_line && (x * 7 + y * 3) % 5 < 2) {
                (_, true) => Rgb([70, 80, 70]),
                (true, false) => Rgb([250, 245, 235]),
                (false, false) => Rgb([240, 232, 220]),
            }
        })
    }

    fn changed(change: impl Fn(u32, u32, Rgb<u8>) -> Rgb<u8>) -> Option<String> {
        let (before, mut after) = (page(), page());
        for (x, y, point) in after.enumerate_pixels_mut() {
            *point = change(x, y, *point);
        }
        compare_images(&before, &after).map(|difference| difference.what)
    }

    #[test]
    fn what_has_moved_is_missing_or_has_another_colour_is_found() {
        let page = page();
        let moved = changed(|x, y, _| *page.get_pixel((x + 297) % 300, y));
        assert!(moved.is_some(), "moved by 6 px of a page, which are three points");
        let paper = Rgb([250, 245, 235]);
        let less =
            changed(
                |x, y, point| {
                    if (40..90).contains(&x) && (72..77).contains(&y) { paper } else { point }
                },
            );
        assert!(less.is_some(), "some words less");
        let other = changed(|x, y, point| {
            if (100..110).contains(&x) && (100..110).contains(&y) {
                Rgb([230, 225, 235])
            } else {
                point
            }
        });
        assert!(other.is_some(), "another colour");
        let longer = RgbImage::from_fn(300, 203, |x, y| *page.get_pixel(x, y.min(199)));
        assert!(compare_images(&page, &longer).is_some(), "a longer page");
    }

    #[test]
    fn invisible_differences_are_not_found() {
        let page = page();
        assert!(compare_images(&page, &page).is_none());
        let soft = imageops::fast_blur(&page, 0.5);
        assert!(compare_images(&page, &soft).is_none(), "edges that are smoothed");
        let noise = changed(|x, y, Rgb(point)| {
            let amount = u8::try_from((x * 31 + y * 17) % 13).unwrap();
            Rgb(point.map(|channel| channel.saturating_sub(amount)))
        });
        assert_eq!(noise, None, "noise");
        let longer = RgbImage::from_fn(300, 201, |x, y| *page.get_pixel(x, y.min(199)));
        assert!(
            compare_images(&page, &longer).is_none(),
            "a line of text that is higher by a point"
        );
    }
}
