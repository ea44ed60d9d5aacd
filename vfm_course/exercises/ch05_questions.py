"""Notebook 05, questions without code: 5.q1 to 5.q5, 5.w1 and 5.w2."""

from __future__ import annotations

from vfm_course.exercises.record import Choice, Written

EXERCISES = (
    Choice(
        id="5.q1",
        notebook="05",
        title="CLIP and the three apples",
        level="B",
        minutes=2,
        points=1,
        question='A picture shows three apples. CLIP scores "two apples", "three apples" and "four apples" for it. It '
        'should now answer "How many apples are there?" in its own words. What does it lack?',
        options={
            "a": "A larger text encoder: the one it has is too small for questions.",
            "b": "Training pairs with numbers in their captions.",
            "c": "A decoder: nothing in it can produce a word, it scores texts that somebody else wrote.",
            "d": "A softmax over all answers on top of the image vector.",
        },
        right="c",
        explains={
            "a": "A text encoder of any size turns a text into one vector, and there it ends: no word comes out of it.",
            "b": "They might make the right prompt win more often, for CLIP counts poorly. But it would still only "
            "choose among prompts that it is given.",
            "c": "Two encoders and a cosine give one number for a picture and a text. With a list of candidates that "
            "makes a choice; for an answer in words the patches have to go into a language model.",
            "d": "That is a classifier which does not read the question: whatever is asked about the picture, the "
            "answer is the same.",
        },
    ),
    Choice(
        id="5.q2",
        notebook="05",
        title="71 % without a look",
        level="I",
        minutes=3,
        points=1,
        question="On the unbalanced questions of this course a model that never sees the picture is right in 71 % of "
        "all cases. Your VLM is right in 74 %. What does that say about the VLM?",
        options={
            "a": "It looks at the picture in 3 % of the cases, and answers from language in the others.",
            "b": "Hardly anything: most of its score can be had from the words alone. Ask it in balanced pairs.",
            "c": "It is better than the blind model, so it must be looking at the pictures.",
            "d": "It is good enough: real pictures have priors too, so users will see the 74 %.",
        },
        right="b",
        explains={
            "a": "The two scores do not add up like that. It may look at every picture and be right mostly where the "
            "prior is right too, or never look and know the priors a little better.",
            "b": "A prior and a look at the picture give the same answer for most of these questions, so the score "
            "cannot tell them apart. In balanced pairs the blind model gets 36 %, and none can get more than half.",
            "c": "A blind model can also be better than another one: it may read more of the question than its first "
            "words. Swap the pictures and see if the answers change.",
            "d": "As long as the priors stay as they are. The user who asks about the green banana wants to know what "
            "this picture shows, and that is where such a model fails.",
        },
    ),
    Choice(
        id="5.q3",
        notebook="05",
        title="Never more than half",
        level="I",
        minutes=3,
        points=1,
        question="A balanced set asks each question about two similar pictures with different answers. Why can a "
        "model that never looks be right in at most half of the cases?",
        options={
            "a": "Without a picture it can only toss a coin between yes and no.",
            "b": "Over the whole set every answer is equally frequent.",
            "c": "The pictures of the test are not those of the training.",
            "d": "It gives both questions of a pair the same answer, and the two right answers differ.",
        },
        right="d",
        explains={
            "a": "It tosses no coin, it gives its favourite answer. And half is the limit for colours and numbers "
            "too, where a coin would not help.",
            "b": "That makes it hard to guess, but sets no limit: if bananas were always yellow and trucks always "
            "grey, all colours could be equally frequent and the words would still tell.",
            "c": "A model that never looks does not notice. Its questions are the same words in training and test.",
            "d": "Same words, no picture: same answer. So one of the two is wrong, at least; with eight colours "
            "mostly both, which is why it ends at 36 % here. No pair is right as a whole.",
        },
    ),
    Choice(
        id="5.q4",
        notebook="05",
        title="Where the list of answers wins",
        level="I",
        minutes=3,
        points=1,
        question="For which of these four would you ship a classifier over a fixed list of answers, not a VLM that "
        "writes?",
        options={
            "a": "A sorting line that asks the same four questions about each parcel, with 30 answers in all, and has "
            "20 ms on a small computer.",
            "b": "An app that reads out to blind users what is printed on the packet in their hand.",
            "c": "A museum guide that answers visitors, and then their questions about its answer.",
            "d": "A shop whose customers ask about products that are new every day.",
        },
        right="a",
        explains={
            "a": "All answers are known before. One pass gives a probability for each, which can have a threshold, "
            "and no answer can come out that the next machine does not know. A VLM would be slower and need its text "
            "read again.",
            "b": "What is printed there is on no list: brands, weights, dates. An answer that was not trained cannot "
            "be given.",
            "c": "That takes sentences, and a memory of what was said before. A classifier has one answer from its "
            "list, and then forgets.",
            "d": "Each new answer would be a new output, with labels to collect and weights to train. A VLM can be "
            "told the new name in the prompt.",
        },
    ),
    Choice(
        id="5.q5",
        notebook="05",
        title="The second token is cheaper",
        level="A",
        minutes=3,
        points=1,
        question="A prompt of 600 tokens, 576 of them visual, is followed by an answer of 20 tokens. With a KV cache "
        "the first token of the answer takes long and each later one little. Why?",
        options={
            "a": "The visual tokens are dropped as soon as the first token has been chosen.",
            "b": "Keys and values of all earlier tokens are kept, so only one new token goes through the layers.",
            "c": "The cache holds answers to earlier prompts, and the rest of this one is found there.",
            "d": "Later tokens attend only to those of the answer, which are few.",
        },
        right="b",
        explains={
            "a": "They stay: each token of the answer attends to all 576, or it could not speak of the picture. What "
            "is spared is to compute their keys and values again.",
            "b": "619 tokens go through the layers in place of 600 + 601 + … + 619 = 12,190. Nothing is lost, since a "
            "causal mask keeps later tokens from changing earlier ones. The price is memory.",
            "c": "It holds no texts at all, only keys and values of this one sequence, and is thrown away with it.",
            "d": "They attend to the whole prompt as well. That is one row of products for each token, and no longer "
            "a whole square.",
        },
    ),
    Written(
        id="5.w1",
        notebook="05",
        title="Written or chosen",
        level="I",
        minutes=15,
        question="Compare a generative VLM with a classifier over a fixed vocabulary of answers. Name two "
        "capabilities that generation gains in principle. Describe one deployment where the classifier is better, and "
        "why. Then explain why the VQAv2 metric can still grade free text, and what it gets wrong.",
        rubric={
            "capabilities": "Two that no fixed list can have however long it is trained: answers outside the list "
            "(names, text in the picture), whole sentences with reasons, several turns, a new task by a new prompt.",
            "deployment": "A concrete case with answers that are known before, and a reason in cost, time, a "
            "probability for each answer, or an output that cannot surprise what comes next.",
            "metric": "Answers in VQAv2 are a word or a few; a generated one is normalised and compared with ten "
            "people's, however it was made. It needs a prompt that asks for short answers; sentences and synonyms "
            "count as wrong.",
        },
        model_answer="A classifier chooses; a VLM writes. Writing gains, first, answers that are on no list: a street "
        "name, a price, a product that did not exist when the vocabulary was made. A list of 3,000 answers has a "
        "ceiling before training begins, namely the share of questions whose answer is on it. Second, it gains other "
        "forms of answer through the prompt alone: a sentence, a reason, a second turn that refers to the first, a "
        "caption. For the classifier each of these is a new output layer and a new training set. On a sorting line I "
        "would still take the classifier. Damaged or not, which side is up, which of eight labels: the answers are "
        "known, the machine has 20 ms, and each answer comes with a probability, so that doubtful parcels go to a "
        "person. And it can never say a word that the machine behind it does not know. The VQAv2 metric does not ask "
        'how an answer came about: the text is normalised, so that "Two." becomes 2, and compared with what ten '
        "people wrote; three who agree are enough, or four by the official mean. That works because people answered "
        'in one to three words and the VLM is told to do so too. It fails where a right answer looks different: "it '
        'is a puppy" gets nothing where ten people wrote dog.',
        hints=(
            "Ask of each capability: could a longer list or more training give it to the classifier as well?",
            "For the deployment, think of who or what reads the answer, and how long it may take.",
            "The metric sees a string. What was done so that two people's strings can be equal at all?",
        ),
    ),
    Written(
        id="5.w2",
        notebook="05",
        title="Three pictures, two models",
        level="I",
        minutes=20,
        question="Run one VLM on three images of your own choice: let it write a caption, ask it a question that the "
        "image answers, and one that it cannot answer. Run a second VLM on the same. Where do the two agree, where do "
        "they differ, and where does one refuse, guess or hallucinate? Say why you think so.",
        rubric={
            "record": "For three images: two captions, two answers to each of both questions, quoted as they came, "
            "with the truth beside them.",
            "behaviour": "Agreement, difference, refusal, guess and hallucination are told apart with an example each "
            "where they occur, and a wrong answer that is likely without looking is recognised as such.",
            "reason": "A cause that fits what was seen: training data with or without unanswerable questions, priors, "
            "tokens and resolution of the connector, prompt; and one further test that could prove it wrong.",
        },
        model_answer="An example of such a report, with a projector model A and a Q-Former model B; yours will "
        "differ. Image 1, a red cat left of a blue car: both captions name both things, but B leaves out the side. "
        '"What colour is the cat?" A: red, B: red. "What is the name of the cat?" A: unanswerable, B: tom. Image 2, a '
        'green banana and a cup: "What colour is the banana?" A: green, B: yellow. "What does the cup cost?" A: '
        'unanswerable, B: 5. Image 3, four parcels: "How many parcels are there?" A: 3, B: 3. "Who do the parcels '
        'belong to?" both: man. They agree on what is large and frequent. They agree on 3 as well, and both are '
        "wrong, so agreement is no proof. B's yellow is a guess from language: a model that never looks says the "
        "same. Tom and 5 are guesses where a refusal was right, and a dog in B's caption of image 3, where there is "
        "none, is a hallucination. A refused twice, and I think because its training data had questions without an "
        "answer, while B's had not: a model learns to say unanswerable only where somebody wrote it. But A gave way "
        "at the third. To test this I would train B again with such questions, and count its refusals of good "
        "questions too, for always refusing is no skill. For the side that B left out I suspect its 32 tokens; I "
        "would ask about it directly.",
        hints=(
            "Choose an image that goes against a prior, such as a green banana: there a guess shows.",
            "A refusal says that it cannot be known, a guess gives a likely answer, a hallucination states what is "
            "not there.",
            "Ask for the cause last: training data, connector, prompt. What would you see if you were wrong?",
        ),
    ),
)
