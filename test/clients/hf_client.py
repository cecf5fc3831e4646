"""huggingface_hub's inference client: text classification on /predict (TEI) and chat."""

import os

import huggingface_hub
from huggingface_hub import InferenceClient

url, token = os.environ["URL"], os.environ["TOKEN"]
chat = InferenceClient(base_url=url + "/v1", api_key=token).chat_completion(
    messages=[{"role": "user", "content": "Say something."}], max_tokens=8, temperature=0.0, seed=1
)
assert chat.choices[0].message.content is not None
classified = InferenceClient(model=url + "/predict", token=token).text_classification("a text of some words")
assert classified[0].label == "LABEL_0" and 0 < classified[0].score < 1, classified
print(f"ok huggingface_hub {huggingface_hub.__version__}: chat, text classification")
