pub mod bench;
pub mod evaluate;
pub mod finetune;
pub mod import;
pub mod inspect;
pub mod phantom;
pub mod predict;
pub mod pretrain;
mod training;
