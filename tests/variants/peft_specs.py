"""Every method of peft, as it is asked for on the tiny model, or why it is refused."""

from __future__ import annotations

WORKS = {
    "ADALORA": "adalora",
    "ADAMSS": "adamss,r=8",
    "BEFT": "beft",
    "BOFT": "boft",
    "C3A": "c3a,block_size=16",
    "DEFT": "deft",
    "DELORA": "delora",
    "FOURIERFT": "fourierft,n_frequency=50",
    "FROD": "frod",
    "GLORA": "glora",
    "GRALORA": "gralora",
    "HIRA": "hira,r=8",
    "HRA": "hra",
    "IA3": "ia3",
    "LN_TUNING": "ln_tuning",
    "LOHA": "loha",
    "LOKR": "lokr",
    "LORA": "lora",
    "MISS": "miss,r=16",
    "OFT": "oft,oft_block_size=16",
    "OSF": "osf,target_modules=q_proj",
    "PEANUT": "peanut,r=4",
    "PSOFT": "psoft,r=8",
    "PVERA": "pvera,r=16",
    "RANDLORA": "randlora,r=8",
    "ROAD": "road,group_size=16",
    "SHIRA": "shira,r=4",
    "SUPERTUNING": "supertuning",
    "TINYLORA": "tinylora",
    "TRAINABLE_TOKENS": "trainable_tokens,token_indices=5+7",
    "UNILORA": "unilora",
    "VBLORA": "vblora,vector_length=16,num_vectors=8",
    "VERA": "vera,r=16",
    "WAVEFT": "waveft,n_frequency=50",
}
MORE = [
    "lora,use_dora=true,target_modules=all-linear",
    "lora,target_modules=embed_tokens+v_proj",
    "lora,modules_to_save=norm+lm_head",
    "lora,trainable_token_indices=5+7",
    "lora,init_lora_weights=orthogonal,use_rslora=true",
    "miss,r=16,init_weights=bat",
    "vera,r=16,save_projection=false",
]
REFUSED = {
    "ADAPTION_PROMPT": "changes no weight",
    "CARTRIDGE": "virtual tokens",
    "CPT": "virtual tokens",
    "LILY": "rows of a batch",
    "MULTITASK_PROMPT_TUNING": "virtual tokens",
    "POLY": "id of a task",
    "PREFIX_TUNING": "virtual tokens",
    "PROMPT_TUNING": "virtual tokens",
    "P_TUNING": "virtual tokens",
    "SHADOW": "second network",
    "XLORA": "trained already",
}
NO_WEIGHT = ("beft",)  # a bias where the model has none
SPECS = [*WORKS.values(), *MORE]
