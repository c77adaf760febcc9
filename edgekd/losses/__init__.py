"""Losses of distillation: pure functions with thin modules on them.

A loss is one file and one row here. `edgekd.losses.base.Loss` says what it takes and gives.
"""

from __future__ import annotations

from edgekd.registry import Row, Table

LOSSES = Table(
    "loss",
    [
        Row(
            "cross-entropy",
            "edgekd.losses.cross_entropy:CrossEntropy",
            "cross-entropy with the labels; needs no teacher",
            extra="train",
        ),
        Row(
            "kd",
            "edgekd.losses.kd:KD",
            "KL divergence from the teacher at a temperature T, times T^2 (Hinton et al. 2015)",
            extra="train",
        ),
        Row(
            "binary-cross-entropy",
            "edgekd.losses.binary_cross_entropy:BinaryCrossEntropy",
            "binary cross-entropy with the labels, for multi-label tasks; needs no teacher",
            extra="train",
        ),
        Row(
            "binary-kd",
            "edgekd.losses.binary_kd:BinaryKD",
            "Bernoulli KL from the teacher, a class each, for multi-label tasks (Yang et al. 2023)",
            extra="train",
        ),
        Row(
            "dist",
            "edgekd.losses.dist:DIST",
            "correlation with the teacher between classes and between samples (Huang et al. 2022)",
            extra="train",
        ),
        Row(
            "dkd",
            "edgekd.losses.dkd:DKD",
            "decoupled distillation: target class and others weighted apart (Zhao et al. 2022)",
            extra="train",
        ),
        Row(
            "logits-mse",
            "edgekd.losses.logits_mse:LogitsMSE",
            "mean squared difference of the logits (Ba and Caruana 2014)",
            extra="train",
        ),
        Row(
            "regression",
            "edgekd.losses.regression:Regression",
            "distance from the true values, for regression; needs no teacher",
            extra="train",
        ),
        Row(
            "regression-kd",
            "edgekd.losses.regression_kd:RegressionKD",
            "distance from the teacher's values, or a bound by them (Chen et al. 2017)",
            extra="train",
        ),
        Row(
            "soft-cross-entropy",
            "edgekd.losses.soft_cross_entropy:SoftCrossEntropy",
            "cross-entropy with the teacher's softened distribution, times T^2",
            extra="train",
        ),
        Row(
            "consistency",
            "edgekd.losses.consistency:Consistency",
            "squared difference of the probabilities (Tarvainen and Valpola 2017)",
            extra="train",
        ),
        Row(
            "dino",
            "edgekd.losses.dino:DINO",
            "cross-entropy with a sharpened, centred teacher; no labels (Caron et al. 2021)",
            extra="train",
        ),
        Row(
            "early-exits",
            "edgekd.losses.early_exits:EarlyExits",
            "labels and the network's own end teach its early exits (Zhang et al. 2019)",
            extra="train",
        ),
        Row(
            "rkd",
            "edgekd.losses.rkd:RKD",
            "distances and angles between the samples of a batch (Park et al. 2019)",
            extra="train",
        ),
        Row(
            "similarity-preserving",
            "edgekd.losses.similarity:SimilarityPreserving",
            "which samples of a batch are alike (Tung and Mori 2019)",
            extra="train",
        ),
        Row(
            "crd",
            "edgekd.losses.crd:CRD",
            "contrast with a memory of all samples' embeddings (Tian et al. 2020)",
            extra="train",
        ),
        Row(
            "itrd",
            "edgekd.losses.itrd:ITRD",
            "correlation and matrix-based mutual information (Miles et al. 2022); experimental",
            extra="train",
        ),
        Row(
            "adversarial",
            "edgekd.losses.adversarial:Adversarial",
            "a discriminator of logits or features that the student should fool",
            extra="train",
        ),
        Row(
            "hint",
            "edgekd.losses.hint:Hint",
            "mean squared error between adapted features (FitNets, Romero et al. 2015)",
            extra="train",
        ),
        Row(
            "attention-transfer",
            "edgekd.losses.attention_transfer:AttentionTransfer",
            "distance of spatial attention maps (Zagoruyko and Komodakis 2017)",
            extra="train",
        ),
        Row(
            "transformer-hidden",
            "edgekd.losses.transformer_hidden:TransformerHidden",
            "hidden states of transformers (TinyBERT, Jiao et al. 2020)",
            extra="train",
        ),
        Row(
            "transformer-attention",
            "edgekd.losses.transformer_attention:TransformerAttention",
            "attention scores of transformers (TinyBERT, Jiao et al. 2020)",
            extra="train",
        ),
        Row(
            "minilm",
            "edgekd.losses.minilm:MiniLM",
            "self-attention relations (MiniLM and MiniLMv2, Wang et al. 2020, 2021)",
            extra="train",
        ),
        Row(
            "temporal-attention",
            "edgekd.losses.temporal_attention:TemporalAttention",
            "distance of the energies of sequences over time",
            extra="train",
        ),
        Row(
            "cross-layer",
            "edgekd.losses.cross_layer:CrossLayer",
            "learned attention over several teacher layers (SemCKD, Chen et al. 2021)",
            extra="train",
        ),
    ],
)
