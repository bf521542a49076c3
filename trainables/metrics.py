"""Every metric's name, once. `{split}_{quantity}_{unit}`; logged with step = epoch."""

PER_EPOCH = (
    "train_loss",
    "train_nll",
    "train_kl_nats",
    "train_codebook",
    "train_commitment",
    "val_error_pct",
    "test_error_pct",
    "val_nll",
    "val_kl_nats",
    "val_attention_std",
    "val_attention_entropy",
    "images_per_s",
    "epoch_s",
    "lr",
)
"""Reported after every epoch. Losses are per image; `val_attention_std` is the mean over images of one map's
standard deviation over its cells; `val_attention_entropy` the mean entropy of one map normalised to sum 1, over
ln(H W): 1 is flat."""

OCCLUSION_SIZES_PX = (4, 8, 12, 16)
HIGH_RADIUS, LOW_RADIUS = 4, 12

COLOR_OCCLUSIONS = tuple(f"interp_color_p{p}" for p in OCCLUSION_SIZES_PX)
IMAGE_OCCLUSIONS = tuple(f"interp_svhn_p{p}" for p in OCCLUSION_SIZES_PX)
MODIFICATIONS = (*COLOR_OCCLUSIONS, *IMAGE_OCCLUSIONS, f"interp_high_r{HIGH_RADIUS}", f"interp_low_r{LOW_RADIUS}")
"""The ten modifications of Table 2. `NAME_pct` is the score under the paper's reading (min-max maps),
`NAME_consistent_pct` the share of prediction-consistent samples."""

INTERP_SUMMARY = ("interpretability_pct", "interp_centered_pct", "interp_chance_pct")

FINAL = (
    "best_epoch",
    "final_val_error_pct",
    "final_val_nll",
    "final_test_error_pct",
    "final_test_nll",
    "test_error_top5_pct",
    "best_test_epoch_error_pct",
)
"""Reported once, with the last epoch: the weights of the best validation epoch under many-sample evaluation.
`best_test_epoch_error_pct` is the paper's own convention, the lowest per-epoch test error."""

LOCALIZATION = ("attention_in_mask_pct", "mask_area_pct", "attention_in_mask_ratio")
"""Share of the attention inside the object's mask, the mask's share of the area, and the one over the other."""

SEARCHABLE = (*PER_EPOCH, *INTERP_SUMMARY)
"""What an objective, a constraint or a scheduler may name: known after every epoch."""
