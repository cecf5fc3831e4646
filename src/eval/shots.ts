// Worked examples for few-shot prompts, in each benchmark's own format and in our own words, so that `--shots` works
// without a training split. Published figures use rows of the training split: give those with `--fewshot`.

/** Rows by the name of the benchmark. */
export const builtInShots: Readonly<Record<string, readonly Record<string, unknown>[]>> = {
  gsm8k: [
    {
      question: "A baker fills 6 trays with 8 rolls each and sells 29 rolls. How many rolls are left?",
      answer: "The baker makes 6 * 8 = 48 rolls.\nAfter selling 29 there are 48 - 29 = 19 left.\n#### 19",
    },
    {
      question:
        "Nina reads 15 pages a day on weekdays and twice as many on each day of the weekend. How many pages does she read in a week?",
      answer:
        "On weekdays she reads 5 * 15 = 75 pages.\nOn a weekend day she reads 2 * 15 = 30, so 2 * 30 = 60 on both.\nTogether that is 75 + 60 = 135 pages.\n#### 135",
    },
    {
      question:
        "A tank holds 240 litres. A pump adds 12 litres a minute while a leak loses 4 litres a minute. How many minutes does it take to fill the empty tank?",
      answer:
        "Every minute the tank gains 12 - 4 = 8 litres.\nFilling it takes 240 / 8 = 30 minutes.\n#### 30",
    },
    {
      question:
        "Three friends share the price of a $54 tent. Later a fourth joins, and all four pay the same. How much does each of the first three get back?",
      answer:
        "At first each pays 54 / 3 = 18 dollars.\nWith four friends each pays 54 / 4 = 13.50 dollars.\nEach of the three gets 18 - 13.50 = 4.50 dollars back.\n#### 4.50",
    },
    {
      question: "A train with 9 cars of 64 seats is three quarters full. How many seats are free?",
      answer: "The train has 9 * 64 = 576 seats.\nA quarter of them is free: 576 / 4 = 144.\n#### 144",
    },
    {
      question:
        "Omar is 4 years older than twice the age of his sister, who is 7. How old will Omar be in 5 years?",
      answer: "Omar is 2 * 7 + 4 = 18 years old.\nIn 5 years he will be 18 + 5 = 23.\n#### 23",
    },
    {
      question:
        "A shop lowers the price of a $80 coat by 25 percent, then by another $10. What does the coat cost now?",
      answer:
        "25 percent of 80 is 20 dollars, so the price falls to 80 - 20 = 60 dollars.\nAnother 10 off makes 60 - 10 = 50 dollars.\n#### 50",
    },
    {
      question:
        "A field of 14 rows has 20 plants in each row. One plant in seven does not bear fruit. How many plants do?",
      answer:
        "The field has 14 * 20 = 280 plants.\nOne in seven is 280 / 7 = 40 plants without fruit.\nSo 280 - 40 = 240 plants bear fruit.\n#### 240",
    },
  ],
  math: [
    {
      problem: "Find the sum of all integers $n$ with $n^2 < 10$ and $n > -3$.",
      solution:
        "From $n^2 < 10$ we get $-3 \\le n \\le 3$. With $n > -3$ the integers are $-2, -1, 0, 1, 2, 3$. Their sum is $\\boxed{3}$.",
      level: "Level 2",
      type: "Algebra",
    },
    {
      problem: "A fair coin is thrown four times. What is the probability of exactly two heads?",
      solution:
        "Of the $2^4 = 16$ equally likely outcomes, $\\binom{4}{2} = 6$ have exactly two heads. The probability is $\\frac{6}{16} = \\boxed{\\frac{3}{8}}$.",
      level: "Level 2",
      type: "Counting & Probability",
    },
    {
      problem: "What is the remainder of $7^{100}$ when divided by $5$?",
      solution:
        "Modulo $5$, $7 \\equiv 2$, and $2^4 = 16 \\equiv 1$. Because $100 = 4 \\cdot 25$, $7^{100} \\equiv (2^4)^{25} \\equiv \\boxed{1}$.",
      level: "Level 3",
      type: "Number Theory",
    },
    {
      problem: "Solve the inequality $|2x - 1| \\le 5$. Give the solution as an interval.",
      solution:
        "The inequality says $-5 \\le 2x - 1 \\le 5$. Adding $1$ gives $-4 \\le 2x \\le 6$, so $-2 \\le x \\le 3$, which is the interval $\\boxed{[-2,3]}$.",
      level: "Level 3",
      type: "Intermediate Algebra",
    },
  ],
  humaneval: [
    {
      prompt:
        'def count_vowels(text: str) -> int:\n    """Return how many letters of text are vowels (a, e, i, o, u), in either case.\n\n    >>> count_vowels("Apple")\n    2\n    """\n',
      canonical_solution: '    return sum(letter in "aeiou" for letter in text.lower())\n',
      test: 'def check(candidate):\n    assert candidate("Apple") == 2\n',
      entry_point: "count_vowels",
    },
    {
      prompt:
        'def running_maximum(numbers: list) -> list:\n    """Return the largest number seen so far at every place of numbers.\n\n    >>> running_maximum([2, 1, 5, 3])\n    [2, 2, 5, 5]\n    """\n',
      canonical_solution:
        "    result = []\n    for number in numbers:\n        result.append(max(result[-1], number) if result else number)\n    return result\n",
      test: "def check(candidate):\n    assert candidate([2, 1, 5, 3]) == [2, 2, 5, 5]\n",
      entry_point: "running_maximum",
    },
    {
      prompt:
        'def is_rotation(a: str, b: str) -> bool:\n    """Say whether b is a with some of its first letters moved to the end.\n\n    >>> is_rotation("stone", "onest")\n    True\n    """\n',
      canonical_solution: "    return len(a) == len(b) and b in a + a\n",
      test: 'def check(candidate):\n    assert candidate("stone", "onest")\n',
      entry_point: "is_rotation",
    },
    {
      prompt:
        'def group_by_length(words: list) -> dict:\n    """Return the words by their length, in the order in which they come.\n\n    >>> group_by_length(["a", "to", "b"])\n    {1: ["a", "b"], 2: ["to"]}\n    """\n',
      canonical_solution:
        "    groups = {}\n    for word in words:\n        groups.setdefault(len(word), []).append(word)\n    return groups\n",
      test: 'def check(candidate):\n    assert candidate(["a", "to", "b"]) == {1: ["a", "b"], 2: ["to"]}\n',
      entry_point: "group_by_length",
    },
  ],
  mbpp: [
    {
      text: "Write a function to find the second smallest of the different numbers in a list.",
      code: "def second_smallest(numbers):\n    return sorted(set(numbers))[1]",
      test_list: [
        "assert second_smallest([4, 1, 3]) == 3",
        "assert second_smallest([2, 2, 5, 9]) == 5",
        "assert second_smallest([-1, 0, -1]) == 0",
      ],
    },
    {
      text: "Write a function to remove every digit from a string.",
      code: 'def remove_digits(text):\n    return "".join(c for c in text if not c.isdigit())',
      test_list: [
        'assert remove_digits("a1b2") == "ab"',
        'assert remove_digits("2024") == ""',
        'assert remove_digits("plain") == "plain"',
      ],
    },
    {
      text: "Write a function to check whether a list of numbers never decreases.",
      code: "def never_decreases(numbers):\n    return all(a <= b for a, b in zip(numbers, numbers[1:]))",
      test_list: [
        "assert never_decreases([1, 1, 2]) == True",
        "assert never_decreases([3, 2]) == False",
        "assert never_decreases([]) == True",
      ],
    },
    {
      text: "Write a function to add up the digits of a whole number.",
      code: "def digit_sum(number):\n    return sum(int(digit) for digit in str(abs(number)))",
      test_list: ["assert digit_sum(123) == 6", "assert digit_sum(-45) == 9", "assert digit_sum(0) == 0"],
    },
  ],
  triviaqa: [
    {
      question: "Which is the longest river of France?",
      answer: { value: "Loire", aliases: ["Loire", "The Loire", "River Loire"] },
    },
    {
      question: "In which sport is a shuttlecock used?",
      answer: { value: "Badminton", aliases: ["Badminton"] },
    },
    {
      question: "Who wrote the novel Middlemarch?",
      answer: { value: "George Eliot", aliases: ["George Eliot"] },
    },
    { question: "What is the chemical symbol of tungsten?", answer: { value: "W", aliases: ["W"] } },
    {
      question: "Which planet has the moons Phobos and Deimos?",
      answer: { value: "Mars", aliases: ["Mars"] },
    },
  ],
  arc: [
    {
      question: "Which tool is best for measuring the mass of a small stone?",
      choices: {
        text: ["a balance", "a ruler", "a thermometer", "a stopwatch"],
        label: ["A", "B", "C", "D"],
      },
      answerKey: "A",
    },
    {
      question: "Why do many birds fly to warmer places before winter?",
      choices: {
        text: ["to see better", "to find food", "to grow new wings", "to sleep longer"],
        label: ["A", "B", "C", "D"],
      },
      answerKey: "B",
    },
    {
      question: "What happens to water when it boils?",
      choices: {
        text: ["It becomes a solid.", "It becomes salty.", "It becomes a gas.", "It loses its mass."],
        label: ["A", "B", "C", "D"],
      },
      answerKey: "C",
    },
    {
      question: "Which of these lets electric current through most easily?",
      choices: { text: ["wood", "rubber", "glass", "copper"], label: ["1", "2", "3", "4"] },
      answerKey: "4",
    },
    {
      question: "What causes day and night on Earth?",
      choices: {
        text: [
          "the turning of Earth about its axis",
          "the path of the Moon",
          "the clouds in the sky",
          "the distance to the Sun",
        ],
        label: ["A", "B", "C", "D"],
      },
      answerKey: "A",
    },
  ],
};
