"""Tiny random models and a separable data set: no network, milliseconds."""

from pathlib import Path
from typing import Any, Final

from adapterhub_lite.transformer import quiet_transformers

# fmt: off
WORDS: Final = (
    "apple", "pear", "plum", "cherry", "grape", "fruit", "juicy", "sweet", "ripe", "basket",
    "hammer", "saw", "drill", "wrench", "bolt", "tool", "heavy", "sharp", "rusty", "bench",
    "sonata", "violin", "flute", "choir", "drum", "music", "loud", "quiet", "slow", "fast",
    "the", "a", "is", "was", "my", "this", "that", "very", "please", "and", "of", "in", "it",
)
# fmt: on

TINY_ROWS: Final[tuple[tuple[str, str], ...]] = (
    ("the apple is sweet and ripe", "fruit"),
    ("a basket of juicy plum", "fruit"),
    ("my pear was very sweet", "fruit"),
    ("this cherry is ripe", "fruit"),
    ("that grape and the plum", "fruit"),
    ("please a ripe juicy apple", "fruit"),
    ("the hammer is heavy", "tool"),
    ("a sharp saw in the bench", "tool"),
    ("my drill was rusty and heavy", "tool"),
    ("this wrench and that bolt", "tool"),
    ("that rusty bolt is sharp", "tool"),
    ("please a heavy drill", "tool"),
    ("the violin is loud", "music"),
    ("a slow sonata of the flute", "music"),
    ("my choir was very quiet", "music"),
    ("this drum is loud and fast", "music"),
    ("that quiet flute and the violin", "music"),
    ("please a fast sonata", "music"),
)
"""Eighteen rows of three labels that share no telling word."""

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROLES: Final = {
    "pad": "[PAD]",
    "bos": "[CLS]",
    "eos": "[SEP]",
    "cls": "[CLS]",
    "sep": "[SEP]",
    "decoder_start": "[PAD]",
}
"""What a config calls a token, and which one it is."""


def write_tiny_model(folder: Path, model_type: str = "bert", seed: int = 0, **config: Any) -> Path:
    """Write a random model of any type that transformers knows, with a word-level tokenizer.

    A decoder is saved with its language-model head, as it is published. The sizes are 32 wide, 3
    layers, 4 heads; ``config`` overrides what the type's config takes.
    """
    import torch
    from transformers import AutoConfig

    tokenizer = _tokenizer()
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 80,
        **{
            f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
            for name, token in ROLES.items()
        },
    }
    generator_state = torch.get_rng_state()
    torch.manual_seed(seed)
    made = AutoConfig.for_model(model_type, **{**sizes, **config})
    model = _published_class(made).from_config(made)
    torch.set_rng_state(generator_state)
    with quiet_transformers():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def _published_class(config: Any) -> Any:
    """Return the class that a model of this type is usually saved as."""
    import transformers

    if config.is_encoder_decoder:
        return transformers.AutoModelForSeq2SeqLM
    if type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING:
        return transformers.AutoModel
    return transformers.AutoModelForCausalLM


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL[1]))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    names = {f"{special.strip('[]').lower()}_token": special for special in SPECIAL}
    names |= {"bos_token": ROLES["bos"], "eos_token": ROLES["eos"]}
    return PreTrainedTokenizerFast(tokenizer_object=words, **names)
