"""Benchmark of what reviews without labels are worth to linear models: the reason why `imdb_1000` gains nothing.

TILTYARD_MIRROR=... python benchmarks/few_labels.py

For several numbers of last words of a review: TF-IDF of words and pairs, fitted to 800 labelled reviews, and LSA (64
numbers of TF-IDF of 25,000 reviews without their labels), each with a logistic regression on the same 800 labels. The
accuracy is that on 4,000 other reviews of the training part; test reviews are not read. Prints a Markdown table.
"""

from __future__ import annotations

import os
import statistics
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from tiltyard.arrays import Array
from tiltyard.modeling.columns.text import TOKEN

LENGTHS, SEEDS = (64, 128, 256), 5
LABELLED, HELD_OUT = 800, 4000
FILE = "imdb_reviews.parquet"


def main() -> None:
    """Print the table."""
    frame = pd.read_parquet(Path(os.environ["TILTYARD_MIRROR"]) / FILE)
    reviews = frame[frame["split"] == "train"]
    truth = reviews["label"].astype(str).isin(["pos", "1"]).to_numpy()
    print("| last words | TF-IDF | LSA |\n|--:|--:|--:|")
    for length in LENGTHS:
        texts = np.array([_last_words(text, length) for text in reviews["text"]], dtype=object)
        lsa = _lsa(texts)
        parts = [_parts(len(texts), seed) for seed in range(SEEDS)]
        tfidf = [_accuracy(_tfidf(texts, train, test), truth[train], truth[test]) for train, test in parts]
        latent = [_accuracy((lsa[train], lsa[test]), truth[train], truth[test]) for train, test in parts]
        print(f"| {length} | {_summary(tfidf)} | {_summary(latent)} |", flush=True)


def _last_words(text: str, length: int) -> str:
    return " ".join(TOKEN.findall(text.lower())[-length:])


def _parts(rows: int, seed: int) -> tuple[Array, Array]:
    """Return the rows with labels, and others by which the models are compared."""
    order = np.random.default_rng(seed).permutation(rows)
    return order[:LABELLED], order[LABELLED : LABELLED + HELD_OUT]


def _tfidf(texts: Array, train: Array, test: Array) -> tuple[Array, Array]:
    vectors = TfidfVectorizer(tokenizer=str.split, token_pattern=None, min_df=2, sublinear_tf=True, ngram_range=(1, 2))
    return vectors.fit_transform(texts[train]), vectors.transform(texts[test])


def _lsa(texts: Array) -> Array:
    """Return 64 numbers for each review, from all reviews without their labels."""
    counts = TfidfVectorizer(
        tokenizer=str.split, token_pattern=None, min_df=5, max_features=9998, sublinear_tf=True
    ).fit_transform(texts)
    return np.asarray(normalize(TruncatedSVD(64, random_state=0).fit_transform(counts)))


def _accuracy(features: tuple[Array, Array], known: Array, truth: Array) -> float:
    model = LogisticRegression(C=5, max_iter=500).fit(features[0], known)
    return float(model.score(features[1], truth))


def _summary(values: list[float]) -> str:
    return f"{statistics.fmean(values):.4f} ± {statistics.stdev(values):.4f}"


if __name__ == "__main__":
    main()
