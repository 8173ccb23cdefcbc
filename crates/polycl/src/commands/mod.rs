pub mod evaluate;
pub mod import;
pub mod inspect;
pub mod phantom;
