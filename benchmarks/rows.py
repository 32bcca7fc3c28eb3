"""The rows of docs/RESULTS.md: which nets are compared on which task, how often, and beside which published figure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A task, the metric to show, and what to compare.

    `net` is the net of the course notes, `ours` another one that learns from the same rows: each is the name of a task,
    empty if there is none. `figure` is the notes' figure in the row's metric.
    """

    metric: str
    net: str = ""
    ours: str = ""
    figure: float | None = None
    seeds: int = 5
    figure_note: str = ""
    remark: str = ""
    also: tuple[str, ...] = ()  # other metrics to show


def _notes(name: str, metric: str, figure: float | None = None, **more: object) -> dict[str, Row]:
    """Return the row of a net of the notes beside the net of our task, on the columns and rows of the notes."""
    return {f"{name}_notes": Row(metric, f"{name}_notes", name, figure, **more)}  # type: ignore[arg-type]


def _ours(*names: str, metric: str, **more: object) -> dict[str, Row]:
    """Return rows of nets of our own."""
    return {name: Row(metric, "", name, **more) for name in names}  # type: ignore[arg-type]


def _first(name: str, metric: str, other: str = "", **more: object) -> dict[str, Row]:
    """Return the row of a task whose net is the notes' own, beside the net of another task."""
    return {name: Row(metric, name, other, **more)}  # type: ignore[arg-type]


SECTIONS: dict[str, dict[str, Row]] = {
    "Regression of tables": {
        **_notes("house_sales", "mae", 132_879, also=("rmse",)),
        **_ours("house_sales", metric="mae", remark="also from LandVal and ImpsVal, an assessor's values"),
        **_notes("california", "rmse", 0.5673, figure_note="mse .3218; in 100,000 dollars"),
        **_ours("california", metric="rmse"),
        **_first("advertising_least_squares", "r2", "advertising", figure=0.526, seeds=10),
        **_first("advertising_gradient_descent", "r2", "advertising_least_squares", figure=0.526, seeds=10),
        **_first("advertising_dense", "r2", "advertising_least_squares", figure=0.526, seeds=10),
        **_ours("advertising", metric="r2", seeds=10, remark="from all three columns"),
        **_first("stock_pair", "rmse", seeds=10),
        **_first("stock_pair_gradient_descent", "rmse", "stock_pair", seeds=10),
        **_first("stock_pair_dense", "rmse", "stock_pair", seeds=10),
        **_ours("mpg", metric="rmse", seeds=10),
        **_ours("film_ratings", metric="rmse", seeds=3, remark="ratings joined with films"),
        **_notes("burned_area", "mae"),
        **_ours("burned_area", metric="mae", seeds=10),
        **_ours("wine_values", metric="scaled_rmse", remark="three values of a wine at once"),
        **_ours("diabetes", metric="rmse"),
    },
    "Classification of tables": {
        **_notes("iris", "accuracy", 0.93, seeds=10),
        **_ours("iris", metric="balanced_accuracy", seeds=10),
        **_notes("wine_quality", "accuracy", 0.74),
        **_ours("wine_quality", metric="accuracy", seeds=10),
        **_ours("wine_quality_families", "wine_quality_bagging", metric="accuracy", remark="an ensemble"),
        **_notes("churn", "roc_auc", also=("accuracy",)),
        **_ours("churn", metric="roc_auc"),
        **_notes("forest_fires", "roc_auc", also=("accuracy",)),
        **_ours("forest_fires", metric="roc_auc", seeds=10),
        **_ours("prosper_loans", metric="roc_auc"),
        **_notes("admissions", "accuracy"),
        **_ours("admissions", metric="accuracy", seeds=10),
        **_ours("sms_spam", metric="macro_f1"),
        **_ours("ticket_escalation", metric="roc_auc", remark="generated: a text and numbers, in one network"),
    },
    "Images": {
        **_notes("mnist_mlp", "accuracy", 0.9777, remark="30 epochs, then continued from the best weights"),
        **_ours("mnist_mlp", metric="accuracy", seeds=3),
        **_notes("mnist_elu", "accuracy", 0.9777)
        | {"mnist_elu_notes": Row("accuracy", "mnist_elu_notes", "mnist_mlp")},
        **_first("mnist_batchnorm", "accuracy", figure=0.9796),
        **_notes("mnist_cnn", "accuracy", seeds=3, remark="notes: .1243, cut short; the rate here is 1, as published"),
        **_ours("mnist_cnn", metric="accuracy", seeds=3, remark="cosine schedule, chosen after a result of .9923"),
        **_notes("mnist_lstm", "accuracy", 0.9799, seeds=3, figure_note="validation"),
        **_ours("mnist_lstm", metric="accuracy", seeds=3),
        **_first("fashion_mnist", "accuracy", figure=0.83, remark="1 epoch"),
        **_notes("lenet5", "accuracy", 0.4258, remark="2 epochs"),
        **_ours("lenet5", metric="accuracy"),
        **_notes("lenet5_paper", "accuracy", 0.99, seeds=3, figure_note="a goal; on MNIST"),
        **_notes("cifar10_cnn", "accuracy", 0.7030, seeds=3),
        **_ours("cifar10_cnn", metric="accuracy", seeds=3),
        **_ours("cifar10_augmented", metric="accuracy", seeds=3, remark="at most 122,570 parameters"),
        **_first("cats_dogs", "accuracy", figure=0.75, remark="cats and dogs of CIFAR-10; the notes have photos"),
        **_first("transfer", "accuracy", "cats_dogs", remark="ours: from scratch on the same few rows"),
        **_ours("mnist_two_digits", metric="macro_f1", seeds=3, remark="two digits at random places, ten labels"),
        **_ours("mnist_shifted", metric="accuracy", seeds=3, remark="shifted at random"),
        **_first("dbn", "accuracy", figure=0.9875, seeds=3, figure_note="the classic 1.25 % of errors"),
        **_first("dbn_1000", "accuracy", "dbn_1000_scratch", remark="1,000 labels; ours: from scratch"),
        **_ours("digits", metric="accuracy"),
        **_ours("digit_sums", metric="rmse", remark="a digit and the number beside it, in one network"),
    },
    "Series and texts": {
        **_first("sine_rnn", "rmse", figure=0.678, figure_note="mse .46; the noise alone: .577"),
        **_first("sine_lstm", "rmse", "sine_rnn"),
        **_first("sine_gru", "rmse", "sine_rnn"),
        **_ours("sine", metric="rmse"),
        **_first("sp500_lstm_notes", "rmse"),
        **_ours("sp500_lstm", metric="rmse", seeds=3, remark="5 days per forecast"),
        **_first("crypto_direction", "roc_auc"),
        **_ours("airline", metric="rmse", seeds=10),
        **_first("airline_lstm", "rmse", remark="the network that is trained once"),
        **_first("sms_spam_lstm", "macro_f1", "sms_spam"),
        **_first("imdb_lstm", "accuracy", figure=0.8452, figure_note="validation"),
        **_first("imdb_bilstm", "accuracy", "imdb_lstm"),
        **_first("imdb_stacked", "accuracy", "imdb_lstm", seeds=3),
        **_first("imdb_transformer", "accuracy", "imdb_bilstm"),
        **_ours("imdb_masked", metric="perplexity", seeds=1, remark="the base of imdb_1000"),
        **_first("imdb_1000", "accuracy", remark="benchmarks/pretraining.py compares it with training from scratch"),
        **_ours("text_generation", "text_generation_transformer", metric="perplexity", seeds=3),
        **_ours("translation", "translation_attention", metric="exact", seeds=3),
        **_ours("captioning", metric="exact", seeds=3, also=("bleu",), remark="test pictures of both kinds"),
    },
    "Objects in pictures": {
        **_ours("detection", metric="ap50", seeds=3, also=("ap", "recall"), remark="baseline: bright spots"),
        **_ours("segmentation", metric="mean_iou", seeds=3, remark="baseline: labels by brightness"),
        **_ours("tracking", metric="idf1", seeds=3, also=("mota", "id_switches"), remark="clips of 12 frames"),
    },
    "Models without labels": {
        **_ours("digits_autoencoder", metric="mse", seeds=3, also=("psnr",)),
        **_ours("autoencoder", metric="mse", seeds=3, also=("psnr",), remark="baseline: PCA with 32 numbers"),
        **_ours("autoencoder_sparse", metric="mse", seeds=3, also=("psnr",)),
        **_ours("autoencoder_denoising", metric="mse", seeds=3, also=("psnr",), remark="on clean images"),
        **_ours("autoencoder_contractive", metric="mse", seeds=3, also=("psnr",)),
        **_ours("anomaly_digit", metric="roc_auc", also=("average_precision", "detection_rate", "false_alarm_rate")),
        **_ours(
            "anomaly_digit_variational",
            metric="roc_auc",
            seeds=3,
            also=("average_precision", "detection_rate", "false_alarm_rate"),
        ),
        **_ours(
            "anomaly_digit_out", metric="roc_auc", also=("average_precision", "detection_rate", "false_alarm_rate")
        ),
        **_ours("anomaly_churn", metric="roc_auc", also=("average_precision", "detection_rate", "false_alarm_rate")),
        **_ours("anomaly_series", metric="roc_auc", also=("average_precision", "detection_rate", "false_alarm_rate")),
        **_ours("vae", metric="elbo", seeds=3, also=("kl", "frechet"), remark="baseline: a mixture of pixels"),
        **_ours("vae_conditional", metric="elbo", seeds=3, also=("kl", "agreement")),
        **_ours("gan", metric="frechet", seeds=3, also=("precision", "recall"), remark="baseline: a mixture of pixels"),
        **_ours("gan_conditional", metric="frechet", seeds=3, also=("recall", "agreement")),
        **_ours("digits_gan", metric="frechet", seeds=3, also=("precision", "recall")),
        **_ours("vae_digits", metric="coverage", seeds=3, also=("elbo", "frechet")),
        **_ours("clustering_iris", metric="ari", seeds=3, also=("nmi",), remark="k-means; baseline: random centres"),
        **_ours("clustering_digits", metric="ari", seeds=5, also=("nmi",), remark="baseline: k-means on pixels"),
        **_ours("rbm", metric="log_likelihood", seeds=3, also=("frechet",)),
    },
    "Recommendations": {
        **_ours(
            "recommendation",
            metric="rmse",
            also=("ndcg_at_10", "recall_at_10", "mrr"),
            remark="baselines: means, popularity",
        ),
        **_ours("recommendation_books", metric="rmse", also=("ndcg_at_10", "recall_at_10", "mrr"), remark="generated"),
    },
    "Foundations": {
        **_first("logic_and", "accuracy", "logic_and_units"),
        **_first("logic_or", "accuracy", "logic_or_units"),
        **_first("logic_buffer", "accuracy"),
        **_first("logic_a_not_b", "accuracy"),
        **_first("logic_xor_perceptron", "accuracy", "logic_xor", remark="ours: the 2-2-1 net"),
        **_first("logic_xor_units", "accuracy"),
        **_first("playground_plane", "rmse"),
        **_first("playground_gaussian", "accuracy"),
        **_first("playground_circle_line", "accuracy", "playground_circle"),
        **_first("playground_circle_squares", "accuracy", "playground_circle"),
        **_first("playground_xor_line", "accuracy", "playground_xor"),
        **_first("playground_xor_crossed", "accuracy", "playground_xor"),
        **_first("playground_spiral_line", "accuracy", "playground_spiral"),
    },
}
ROWS = {name: row for rows in SECTIONS.values() for name, row in rows.items()}
