"""The forms of --encoder."""

from pathlib import Path

import pytest

from pipeline.encoders.options import EncoderName, parse_encoder


def test_forms(tmp_path: Path) -> None:
    weights, run = tmp_path / "w:1.pt", tmp_path / "run"
    weights.touch()
    run.mkdir()
    for name in ("config.yaml", "result.json"):
        (run / name).touch()
    assert parse_encoder(f"timm:resnet18:{weights}") == EncoderName("timm", "resnet18", weights)
    assert parse_encoder(f"clip:ViT-B-16:{weights}") == EncoderName("clip", "ViT-B-16", weights)
    plain = weights.rename(tmp_path / "w.pt")
    assert parse_encoder(f"clip:{plain}") == EncoderName("clip", "ViT-B-32", plain)
    assert parse_encoder(str(run)) == EncoderName("run", "", run)
    assert str(parse_encoder(str(run))) == str(run) and str(parse_encoder(f"clip:{plain}")) == f"clip:ViT-B-32:{plain}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("timm:w.pt", "--encoder timm:w.pt: give a run folder, clip:WEIGHTS"),
        ("clip:", "--encoder clip:: give"),
        ("clip:nowhere.pt", "nowhere.pt is no file of weights"),
        ("nowhere", "--encoder nowhere: no run folder of pipeline/train.py"),
    ],
)
def test_mistakes(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_encoder(text)


def test_a_run_that_has_not_finished(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ValueError, match="has not finished; start it again to resume it"):
        parse_encoder(str(tmp_path))
