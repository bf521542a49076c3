"""The model card: Markdown beside the exported files that says what the model is, how good it is and how to use it."""

from collections.abc import Mapping
from typing import Any

from trainables.config.trial import TrialConfig
from trainables.paper.published import published_error_pct

_ROWS = (
    ("validation error", "final_val_error_pct"),
    ("test error", "final_test_error_pct"),
    ("interpretability, mean-centred maps", "interp_centered_pct"),
    ("interpretability, the paper's reading", "interpretability_pct"),
    ("the same between different images (chance)", "interp_chance_pct"),
    ("attention inside the object's mask", "attention_in_mask_pct"),
    ("the mask's share of the area", "mask_area_pct"),
)


def model_card(name: str, config: TrialConfig, metrics: Mapping[str, float], facts: Mapping[str, Any]) -> str:
    """Writes the card as Markdown, with the paper's own error where the paper has one."""
    seeds = facts["seeds"]
    lines = [
        f"# {name}",
        "",
        f"`{config.model.name}` at width {config.model.width:g}, trained on `{config.data.name}` at "
        f"{config.data.image_size} px for {config.epochs} epochs (recipe `{config.recipe}`, seed {config.seed}); trial "
        f"`{facts['trial_id']}` of study `{facts['study']}`, signature `{facts['signature']}`.",
        "",
        "| % | this model | mean over seeds | standard deviation | seeds |",
        "|---|---|---|---|---|",
    ]
    for label, metric in _ROWS:
        if metric in metrics:
            over = seeds[metric]
            spread = "" if over["std"] is None else f"{over['std']:.2f}"
            lines.append(f"| {label} | {metrics[metric]:.2f} | {over['mean']:.2f} | {spread} | {over['n']} |")
    published = published_error_pct(config.model.name, config.data.name)
    if published is not None:
        lines += ["", f"The paper's Table 1 gives {published:.2f} % test error at full width and 200 epochs."]
    lines += [
        "",
        "The model was chosen by validation error; test metrics were not used. Weights are safetensors, the rest is "
        "JSON; `manifest.json` holds the SHA-256 of each file.",
        "",
        "```",
        f"aib predict {name}@champion IMAGE",
        f'mlflow.pyfunc.load_model("models:/{name}@champion").predict(images)  # uint8 (N, H, W, 3)',
        "```",
        "",
    ]
    return "\n".join(lines)
