//! Making races, changing them, finding them, and the organiser's hand on their sale.

mod edit;
mod hand;
mod make;
mod registrants;
mod search;
