use super::*;

fn pool(code: &str, group: &str, capacity: u32) -> PoolRule {
    let code = PoolCode::new(code).expect("a code");
    PoolRule { code, label: code.to_string(), group: group.to_owned(), capacity, held_back: 0 }
}

fn rules() -> Rules {
    let pools = vec![pool("10k", COURSE_GROUP, 5)];
    Rules {
        format: 1,
        offer: Uuid::nil(),
        opens_ms: 1,
        closes_ms: 2,
        policy: orderlog::Policy::FirstCome,
        hold_s: 600,
        waitlist: false,
        waitlist_hold_s: 86_400,
        line_after_close: false,
        return_to: ReturnTo::Line,
        confirm: orderlog::ConfirmMode::Later,
        per_person: 1,
        units_max: 1,
        paying_max_s: 1_800,
        refusals_logged_max: 10,
        eligibility: Eligibility { account_before_ms: None, verified: Verified::None, age_min: None, age_max: None },
        want: want_rules(&pools),
        pools,
    }
}

#[test]
fn a_souvenirs_code_is_read_back() {
    assert_eq!(souvenir_code(0, 2), "s1-3");
    assert_eq!(souvenir_place("s1-3"), Some((0, 2)));
    for course in ["s1", "s-1", "s0-1", "s1-0", "s1-x", "10k", "sub-3", "s1-2-3", "1-2"] {
        assert!(!is_souvenir_code(course), "{course}");
    }
}

#[test]
fn a_want_names_its_course_and_souvenir() {
    let souvenirs =
        vec![Souvenir { id: Uuid::from_u128(1), name: "shirt".to_owned(), sizes: vec!["S".into(), "M".into()] }];
    let want: Want = "10k:1,s1-2:1".parse().expect("a want");
    assert_eq!(course_of(&want), "10k");
    assert_eq!(souvenir_of(&want, &souvenirs), Some(SouvenirChoice { id: Uuid::from_u128(1), size: "M".to_owned() }));
    let late: Want = "s1-1:1,ultra:1".parse().expect("a want");
    assert_eq!(course_of(&late), "ultra");
    let bare: Want = "10k:1".parse().expect("a want");
    assert_eq!(souvenir_of(&bare, &souvenirs), None);
}

#[test]
fn an_edit_sets_what_it_names_and_leaves_the_rest() {
    let before = rules();
    assert_eq!(RulesEdit::default().apply(&before), before);
    let souvenirs = vec![pool("s1-1", SOUVENIR_GROUP, 3)];
    let with = RulesEdit { souvenirs: Some(souvenirs), hold_s: Some(60), ..Default::default() }.apply(&before);
    assert_eq!(with.hold_s, 60);
    assert_eq!(with.pools.len(), 2);
    assert_eq!(with.want.len(), 2);
    with.validate().expect("the rules can stand");
    let courses = vec![pool("b", COURSE_GROUP, 1), pool("a", COURSE_GROUP, 2)];
    let moved = RulesEdit { courses: Some(courses), souvenirs: Some(Vec::new()), ..Default::default() }.apply(&with);
    let codes: Vec<&str> = moved.pools.iter().map(|pool| pool.code.as_str()).collect();
    assert_eq!(codes, ["a", "b"]);
    assert_eq!(moved.want, before.want);
    moved.validate().expect("the rules can stand");
}

#[test]
fn ages_are_those_of_the_race_day() {
    let date = |y, m, d| chrono::NaiveDate::from_ymd_opt(y, m, d).expect("a date");
    let rules = Eligibility { account_before_ms: None, verified: Verified::None, age_min: Some(18), age_max: None };
    let person = |born| Person {
        created_ms: 0,
        email_verified: false,
        phone_verified: false,
        identity_verified: false,
        birth_date: Some(born),
    };
    assert_eq!(unmet_rule(&rules, &person(date(2009, 5, 1)), date(2027, 5, 1)), None);
    assert_eq!(unmet_rule(&rules, &person(date(2009, 5, 2)), date(2027, 5, 1)), Some("age_min"));
    // A birth after the race day is nobody's age.
    assert_eq!(unmet_rule(&rules, &person(date(2030, 1, 1)), date(2027, 5, 1)), Some("age_min"));
    // 23:30 UTC is the next morning in Seoul.
    let late = UtcTime::parse("2027-04-30T23:30:00Z").expect("a time");
    assert_eq!(day_of(late, 9 * 3_600), Some(date(2027, 5, 1)));
}

#[test]
fn a_course_is_called_by_its_length() {
    let course = |kind, distance_m| Course { code: PoolCode::new("c").expect("a code"), kind, distance_m, fee: Won(0) };
    assert_eq!(course(CourseType::Km10, 10_000).label(), "10 km");
    assert_eq!(course(CourseType::Free, 7_700).label(), "7700 m");
    assert_eq!(course(CourseType::Half, 21_097).label(), "Half marathon");
}
