"""openai's own client: models, chat, a stream, completions, and its errors."""

import os

import openai

client = openai.OpenAI(base_url=os.environ["URL"] + "/v1", api_key=os.environ["TOKEN"])
models = [model.id for model in client.models.list()]
messages = [{"role": "user", "content": "Say something."}]
chat = client.chat.completions.create(model=models[0], messages=messages, max_tokens=12, temperature=0, seed=1)
assert chat.usage.completion_tokens >= 1 and chat.choices[0].finish_reason in ("stop", "length"), chat
pieces = list(client.chat.completions.create(model=models[0], messages=messages, max_tokens=12, temperature=0, seed=1, stream=True))
text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
assert text == chat.choices[0].message.content, (text, chat.choices[0].message.content)
done = client.completions.create(model=models[0], prompt="Once", max_tokens=4, temperature=0, echo=True, logprobs=1)
assert done.choices[0].text.startswith("Once") and done.choices[0].logprobs.token_logprobs[0] is None, done
try:
    client.chat.completions.create(model=models[0], messages=[], max_tokens=4)
    raise SystemExit("an empty conversation was answered")
except openai.BadRequestError as error:
    assert "messages" in str(error), error
try:
    openai.OpenAI(base_url=os.environ["URL"] + "/v1", api_key="wrong-token", max_retries=0).models.list()
    raise SystemExit("a wrong token was let in")
except openai.AuthenticationError:
    pass
print(f"ok openai {openai.__version__}: models, chat, stream, completions, errors")
