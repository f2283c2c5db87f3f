import functools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest

from adhelpers.detectors import AnoGAN, EncoderPlan, GanScore, GanSettings, Search, fit_or_load
from adhelpers.detectors.anogan.settings import SCORES
from adhelpers.detectors.manifest import signed
from adhelpers.training import TrainingPlan, gaussian_kernel

SEARCHED = {field.name for field in fields(Search)} - {"learning_rate", "schedule"}


def images(count=8, shape=(32, 32, 1), seed=0):
    return np.random.default_rng(seed).uniform(size=(count, *shape)).astype("float32")


GAN = GanSettings(width=0.05, latent_dim=6)
PLAN = TrainingPlan(epochs=2, batch_size=4, learning_rate=4e-4)
ENCODER = EncoderPlan(epochs=1)


def small(gan=GAN, plan=PLAN, encoder=ENCODER, score="anogan", **changes):
    """A small AnoGAN; what is not one of its arguments is an option of its search."""
    searched = {name: changes.pop(name) for name in list(changes) if name in SEARCHED}
    return AnoGAN(
        gan=gan,
        plan=plan,
        encoder=encoder,
        search=Search(**{"steps": 20, **searched}),
        scoring=GanScore(score, smoothing=1.0),
        **changes,
    )


def trained(detector, *arguments, **options):
    """Fitted; a generator after two epochs has always collapsed, and says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return detector.fit(*arguments, show_progress=False, **options)


@functools.cache
def fitted(**changes):
    """One training for all tests that change nothing: compiling takes most of its time."""
    return trained(small(**changes), images()[:4], images()[4:])


def changed(tmp_path, detector, **changes):
    """The same detector with other options of its search or its score."""
    detector.save(tmp_path / "model")
    searched = {name: value for name, value in changes.items() if name in SEARCHED}
    scored = {name: value for name, value in changes.items() if name not in SEARCHED}
    return AnoGAN.load(
        tmp_path / "model",
        search=replace(detector.search, **searched),
        scoring=replace(detector.scoring, **scored),
    )


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The same training once more, kept in a folder of models."""
    sets = SimpleNamespace(
        name="thing",
        fingerprint="a",
        train=SimpleNamespace(images=images()[:4]),
        validation=SimpleNamespace(images=images()[4:]),
    )
    folder = tmp_path_factory.mktemp("models")
    with pytest.warns(UserWarning, match="generator has collapsed.*%"):
        detector = fit_or_load(small(), sets, folder, show_progress=False)
    return SimpleNamespace(sets=sets, folder=folder, detector=detector)


def test_every_score_by_hand():
    good, detector = images(), fitted()
    scores, counterpart = detector.all_scores(good), detector.counterpart(good)
    assert set(scores) == set(SCORES) and 0 <= counterpart.min() < counterpart.max() <= 1
    # The networks see grey values in [-1, 1], where differences are twice as large.
    np.testing.assert_allclose(
        scores["residual"], 2 * np.abs(good - counterpart).sum(axis=(1, 2, 3)), rtol=1e-4
    )
    logits, of_image = detector.networks["discriminator"](2 * good - 1, training=False)
    of_counterpart = detector.networks["discriminator"](2 * counterpart - 1, training=False)[1]
    np.testing.assert_allclose(
        scores["feature"],
        np.abs(np.subtract(of_image, of_counterpart)).sum(axis=(1, 2, 3)),
        rtol=1e-3,
    )
    np.testing.assert_allclose(
        scores["anogan"], 0.9 * scores["residual"] + 0.1 * scores["feature"], rtol=1e-5
    )
    np.testing.assert_allclose(scores["discriminator"], -logits.numpy()[:, 0], rtol=1e-4, atol=1e-5)
    assert all(values.shape == (8,) and values.dtype == np.float32 for values in scores.values())


@pytest.mark.parametrize("score", SCORES)
def test_the_score_is_the_one_that_was_asked_for(tmp_path, score):
    detector = changed(tmp_path, fitted(), score=score)
    np.testing.assert_allclose(
        detector.score(images()), fitted().all_scores(images())[score], rtol=1e-5
    )


def test_the_weight_of_the_features_enters_the_search(tmp_path):
    only = changed(tmp_path, fitted(), feature_weight=1.0)
    np.testing.assert_allclose(
        only.all_scores(images())["anogan"], only.all_scores(images())["feature"], rtol=1e-6
    )
    assert not np.allclose(only.encode(images()), fitted().encode(images()))


def test_the_map_is_the_difference_plain_and_smoothed(tmp_path):
    good, detector = images(), fitted()
    plain = changed(tmp_path, detector, smoothing=0.0)
    difference = np.abs(good - plain.counterpart(good)).mean(axis=-1)
    np.testing.assert_allclose(plain.anomaly_map(good), difference, atol=1e-5)
    kernel = gaussian_kernel(1.0)
    middle = (kernel[:, None] * kernel[None] * difference[0, 6:15, 8:17]).sum()
    assert detector.anomaly_map(good)[0, 10, 12] == pytest.approx(middle, rel=1e-4)


def test_a_standardized_map_compares_with_the_training_images_at_each_pixel(tmp_path):
    options = {"start": "encoder", "steps": 0, "smoothing": 0.0}
    detector = changed(tmp_path, fitted(), map="standardized", **options)
    plain = changed(tmp_path, fitted(), **options)
    good, usual = images(), plain.anomaly_map(images()[:4])
    by_hand = (plain.anomaly_map(good) - usual.mean(axis=0)) / (usual.std(axis=0) + 0.01)
    np.testing.assert_allclose(detector.anomaly_map(good), by_hand.clip(0), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(
        detector.all_scores(good)["smooth_max"], by_hand.max(axis=(1, 2)), rtol=1e-3
    )
    # What is smoothed is the difference and what is usual, not their quotient.
    smoothed = changed(tmp_path, fitted(), **options | {"map": "standardized", "smoothing": 1.0})
    flat = smoothed.anomaly_map(np.repeat(good[:1], 2, axis=0))
    assert 0 < flat.max() < by_hand[0].max()


def test_what_the_generator_never_gets_right_hides_no_faint_defect(tmp_path):
    """Noise above, which no generator makes, and a plain grey below with a faint spot."""
    good = np.full((20, 32, 32, 1), 0.6, np.float32)
    good[:, :14] = images(20)[:, :14]
    detector = trained(small(start="encoder", steps=0), good[:16], good[16:])
    defective = good[16:].copy()
    defective[:, 24:27, 8:11] += 0.15
    rows = {
        kind: np.unravel_index(one.reshape(4, -1).argmax(axis=1), (32, 32))[0]
        for kind in ("difference", "standardized")
        for one in [changed(tmp_path, detector, map=kind).anomaly_map(defective)]
    }
    assert (rows["difference"] < 14).all() and (rows["standardized"] >= 23).all()


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 100, "score": "smooth_max"},
        {"start": "encoder", "steps": 5, "restarts": 2},
        {"start": "encoder", "steps": 0},
        {"score": "discriminator"},
    ],
    ids=str,
)
def test_a_score_depends_on_no_other_image_and_on_no_order(tmp_path, options):
    pictures, order = images(40), np.random.default_rng(1).permutation(40)
    detector = changed(tmp_path, fitted(), **options)

    def score_anew(part):
        detector._found.clear()
        return detector.score(part)

    whole = score_anew(pictures)
    np.testing.assert_allclose(score_anew(pictures[order]), whole[order], rtol=1e-5)
    parts = [score_anew(part) for part in (pictures[:1], pictures[1:20], pictures[20:])]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5)


def test_an_image_is_searched_for_once(tmp_path):
    detector = changed(tmp_path, fitted(), steps=30)
    first = detector.score(images())
    detector._search.find, find = None, detector._search.find
    try:
        np.testing.assert_array_equal(detector.score(images()[::-1]), first[::-1])
        detector.anomaly_map(images()), detector.counterpart(images())
    finally:
        detector._search.find = find


def test_the_encoder_learns_to_find_the_noise(tmp_path):
    good, options = images(), {"start": "encoder", "steps": 0}
    short, long = (
        changed(tmp_path, fitted(), **options),
        trained(small(encoder=EncoderPlan(epochs=25), **options), good[:4], good[4:]),
    )
    # The same generator, because it is trained first and then frozen; on a busy machine threads may
    # add up in another order.
    np.testing.assert_allclose(short.samples(3), long.samples(3), atol=0.02)
    made = long.samples(30)
    assert long.score(made).mean() < short.score(made).mean()
    assert long.encoder_history["val_loss"].min() < short.encoder_history["val_loss"].min()
    np.testing.assert_allclose(
        long.encode(made), long.networks["encoder"](2 * made - 1, training=False), atol=1e-4
    )


def stripes(count, seed=0):
    """Good images: vertical waves of any phase."""
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, (count, 1, 1, 1))
    columns = np.linspace(0, 2 * np.pi, 32)[None, None, :, None]
    return (0.5 + 0.4 * np.sin(columns + phases) * np.ones((1, 32, 1, 1))).astype("float32")


@functools.cache
def striped():
    detector = AnoGAN(
        gan=GanSettings(width=0.1, latent_dim=8, average=0.9, normalization="none"),
        plan=TrainingPlan(epochs=30, batch_size=8, learning_rate=1e-3),
        encoder=EncoderPlan(epochs=15, learning_rate=2e-3),
        search=Search(steps=200, learning_rate=0.05),
    )
    return trained(detector, stripes(64), stripes(16, 1))


def test_it_learns_good_images_and_tells_others_from_them():
    detector, good, turned = striped(), stripes(10, 2), stripes(10, 2).transpose(0, 2, 1, 3)
    assert (
        detector.collapse is None
        and detector.diversity["samples"] > 0.5 * detector.diversity["data"]
    )
    scores, of_turned = detector.all_scores(good), detector.all_scores(turned)
    for name in ("anogan", "residual", "feature", "smooth_max"):
        assert of_turned[name].min() > scores[name].max(), name


def test_reconstructions_teach_the_generator_sooner_than_the_discriminator_alone():
    good, few = stripes(64), TrainingPlan(epochs=6, batch_size=8, learning_rate=1e-3)
    settings = GanSettings(width=0.1, latent_dim=8, average=0.9, normalization="none")
    plain, taught = (
        trained(
            AnoGAN(
                gan=replace(settings, reconstruction=weight),
                plan=few,
                encoder=EncoderPlan(epochs=3, learning_rate=2e-3),
                search=Search(start="encoder", steps=0),
            ),
            good,
            stripes(16, 1),
        )
        for weight in (0.0, 10.0)
    )
    assert "reconstruction" not in plain.history
    falling = taught.history["reconstruction"]
    assert falling.iloc[-1] < 0.7 * falling.iloc[0]
    others = stripes(10, 2)
    errors = [float(np.abs(one.counterpart(others) - others).mean()) for one in (plain, taught)]
    assert errors[1] < 0.7 * errors[0]


def test_the_discriminators_score_is_higher_for_what_is_no_good_image():
    detector, noise = striped(), images(10)
    assert np.median(detector.all_scores(noise)["discriminator"]) > np.median(
        detector.all_scores(stripes(10, 2))["discriminator"]
    )


def test_a_better_start_needs_fewer_steps(tmp_path):
    good = stripes(20, 3)
    random, encoder = (
        changed(tmp_path, striped(), **options).score(good)
        for options in ({"steps": 10}, {"start": "encoder", "steps": 10})
    )
    assert np.median(encoder) < np.median(random)


def test_a_collapsed_generator_is_told(stored):
    # That the training says so is seen where it is stored.
    manifest = json.loads((stored.detector.folder / "manifest.json").read_text())
    detector = AnoGAN.load(stored.detector.folder)
    assert manifest["collapse"] == stored.detector.collapse == detector.collapse
    assert manifest["diversity"] == stored.detector.diversity
    # Twins: as different as the data on the whole, and a few pictures only.
    detector.diversity = {
        "samples": 0.3,
        "samples_nearest": 0.001,
        "data": 0.3,
        "data_nearest": 0.2,
    }
    assert "most similar one by 0 %" in detector.collapse
    detector.diversity = {"samples": 0.3, "samples_nearest": 0.1, "data": 0.3, "data_nearest": 0.2}
    assert detector.collapse is None


def test_the_film_shows_fixed_noise_from_the_first_epoch_to_the_last():
    detector = fitted(plan=replace(PLAN, epochs=5))
    assert detector.film_epochs[0] == 1 and detector.film_epochs[-1] == 5
    assert detector.film.shape == (len(detector.film_epochs), 8, 32, 32, 1)
    last = detector._pictures(detector._noise(8, 1))
    np.testing.assert_allclose(detector.film[-1], last, atol=0.003)
    assert {
        "loss",
        "discriminator",
        "generator",
        "real",
        "fake",
        "val_real",
        "val_fake",
        "val_diversity",
    } <= set(detector.history.columns)


PLAIN = {"gan": replace(GAN, average=0.0), "encoder": None}


def test_averaging_and_penalty_are_options():
    plain = fitted(**PLAIN)
    assert set(plain.networks) == {"generator", "discriminator"} and plain.encoder_history.empty
    penalised = fitted(gan=replace(GAN, normalization="none"), encoder=None)
    assert "penalty" in penalised.history and (penalised.history["penalty"] > 0).all()
    weights = [penalised.networks[name].get_weights() for name in ("average", "generator")]
    assert any(not np.array_equal(first, second) for first, second in zip(*weights, strict=True))


def test_the_same_seed_gives_the_same_detector(stored):
    again = stored.detector
    # Not to the last bit: on several threads TensorFlow adds the parts of a gradient now and then
    # in another order.
    np.testing.assert_allclose(again.score(images()), fitted().score(images()), rtol=0.01)
    assert not np.allclose(fitted(seed=1).score(images()), again.score(images()), rtol=0.02)


_KILLED = textwrap.dedent("""
    import sys, warnings
    import numpy as np
    from adhelpers.detectors import AnoGAN, EncoderPlan, GanSettings
    from adhelpers.training import Augmentation, TrainingPlan
    warnings.simplefilter("ignore")
    random = np.random.default_rng(0)
    train, validation = (random.uniform(size=(n, 32, 32, 1)).astype("float32") for n in (10, 4))
    for name in sys.argv[1].split():
        detector = AnoGAN(
            gan=GanSettings(width=0.05, latent_dim=4, reconstruction=5.0),
            plan=TrainingPlan(epochs=6, batch_size=4, learning_rate=4e-4, checkpoint_every=2),
            encoder=EncoderPlan(epochs=4),
            augmentation=Augmentation(rotation=20.0),
            seed=3,
        )
        detector.fit(train, validation, checkpoint=f"{name}.checkpoint.npz", show_progress=False)
        for history in (detector.history, detector.encoder_history):
            history.drop(columns="seconds").to_csv(f"{name}.csv", index=False, mode="a")
        networks = detector.networks.values()
        weights = [one.value.numpy() for network in networks for one in network.variables]
        np.savez(name, detector.film, *weights)
""")


def test_killed_twice_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path):
    """Generator, its average, discriminator with dropout, encoder, film and all optimisers.

    SIGKILL in both trainings, and new processes after it.
    """
    slowed = textwrap.dedent("""
        import adhelpers.training.loop as training, time
        write = training.write_checkpoint
        def slow(path, *arguments):
            write(path, *arguments)
            if str(path).endswith(sys.argv[2]):
                time.sleep(60)
        training.write_checkpoint = slow
    """)
    command = [sys.executable, "-c"]
    # On one thread: on several, TensorFlow adds the parts of a gradient in the order in which they
    # are done, now and then another one.
    alone = {
        "cwd": tmp_path,
        "env": {**os.environ, "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"},
    }
    for during in ("cut.checkpoint.npz", "cut.checkpoint.encoder.npz"):
        victim = subprocess.Popen(
            [*command, f"import sys\n{slowed}{_KILLED}", "cut", during], **alone
        )
        deadline = time.monotonic() + 300
        while not (tmp_path / during).exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        assert (tmp_path / during).exists() and not (tmp_path / "cut.npz").exists()
    # Starting TensorFlow takes longer than training: the process that goes on trains once more from
    # the beginning.
    subprocess.run([*command, _KILLED, "cut whole"], check=True, **alone)
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "cut.npz") as resumed:
        assert len(whole.files) > 40
        for name in whole.files:
            np.testing.assert_array_equal(whole[name], resumed[name])
    assert (tmp_path / "whole.csv").read_text() == (tmp_path / "cut.csv").read_text()


def test_diverging_training_stops_and_keeps_its_last_checkpoint(tmp_path):
    with pytest.raises(
        FloatingPointError,
        match="GAN: .* is (nan|inf) in epoch .*diverged.*learning_rate"
        ".*last checkpoint is .*state.npz",
    ):
        trained(
            small(plan=TrainingPlan(40, 4, learning_rate=1e30, checkpoint_every=1)),
            images()[:4],
            images()[4:],
            checkpoint=tmp_path / "state.npz",
        )
    if (tmp_path / "state.npz").exists():
        with np.load(tmp_path / "state.npz") as state:
            assert all(
                np.isfinite(state[name]).all()
                for name in state.files
                if name.startswith("network/generator")
            )


def test_stored_and_loaded_scores_are_equal(tmp_path):
    detector, good = fitted(), images()
    loaded = changed(tmp_path, detector)
    for name, values in detector.all_scores(good).items():
        np.testing.assert_array_equal(loaded.all_scores(good)[name], values)
    np.testing.assert_allclose(loaded.film, detector.film, atol=1e-6)
    np.testing.assert_array_equal(loaded._usual, detector._usual)
    assert (
        loaded.parameters == detector.parameters
        and len(loaded.history) == 2
        and len(loaded.encoder_history) == 1
    )
    assert (
        loaded.film_epochs == list(detector.film_epochs) and loaded.diversity == detector.diversity
    )


def test_scoring_parameters_need_no_other_training(stored):
    again = fit_or_load(
        small(start="encoder", steps=0, score="residual"),
        stored.sets,
        stored.folder,
        show_progress=False,
    )
    assert stored.detector.folder == again.folder and again.search.steps == 0
    assert [path.name for path in again.folder.parent.iterdir()] == [again.folder.name]


def test_weights_of_another_architecture_are_refused(tmp_path):
    fitted().save(tmp_path / "model")
    manifest = tmp_path / "model" / "manifest.json"
    changed = json.loads(manifest.read_text().replace('"latent_dim": 6', '"latent_dim": 7'))
    manifest.write_text(json.dumps(signed(changed)))
    with pytest.raises(ValueError, match="generator.weights.h5 does not fit"):
        AnoGAN.load(tmp_path / "model")


def test_a_size_that_is_no_power_of_two_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"power of two.*48 x 96.*nearest is 32 x 64"):
        small().fit(images(4, (48, 96, 1)), images(2, (48, 96, 1)))


@functools.cache
def coloured():
    """Colour, another shape, and a batch larger than the data."""
    pictures = images(6, (64, 32, 3))
    return trained(small(plan=TrainingPlan(1, batch_size=50)), pictures[:4], pictures[4:])


def test_a_batch_larger_than_the_data_is_cut():
    assert len(coloured().history) == 1 and np.isfinite(coloured().history["loss"]).all()


def test_bfloat16_keeps_float32_weights_and_scores():
    detector = fitted(precision="bfloat16")
    assert detector.score(images()).dtype == np.float32
    trainable = {
        variable.dtype
        for network in detector.networks.values()
        for variable in network.trainable_variables
    }
    assert trainable == {"float32"}


def test_colour_and_other_sides():
    pictures, detector = images(6, (64, 32, 3)), coloured()
    assert np.isfinite(detector.score(pictures)).all()
    assert detector.counterpart(pictures).shape == pictures.shape and detector.anomaly_map(
        pictures
    ).shape == (6, 64, 32)


def test_an_encoder_that_is_missing_is_told(tmp_path):
    with pytest.raises(ValueError, match='start="encoder" needs an encoder.*EncoderPlan'):
        small(start="encoder", encoder=None)
    with pytest.raises(ValueError, match="reconstruction needs an encoder.*reconstruction=0"):
        small(gan=replace(GAN, reconstruction=1.0), encoder=None)
    fitted(**PLAIN).save(tmp_path / "model")
    with pytest.raises(ValueError, match='start="encoder" needs an encoder'):
        AnoGAN.load(tmp_path / "model", search=Search(start="encoder"))
    with pytest.raises(ValueError, match='map="standardized" needs an encoder.*"difference"'):
        AnoGAN.load(tmp_path / "model", scoring=GanScore(map="standardized"))
    with pytest.raises(ValueError, match="steps=0 scores the start"):
        small(steps=0)


def test_an_unknown_precision_is_named():
    with pytest.raises(ValueError, match="precision must be one of float32, bfloat16"):
        small(precision="float16")
