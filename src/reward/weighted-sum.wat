;; sum_i w_i x_i in float64, rounded to float32 once. `terms` is a table of 16 bytes for each term: where its values begin
;; (i32), four bytes of nothing, its weight (f64). All arrays lie in this module's memory and start at multiples of 16 bytes;
;; lengths count groups of sixteen elements. The sums begin at -0, to which adding anything, -0 included, gives that thing.
;; They return 0, or NaN where a number is not finite. Two numbers are loaded at a time, for only two can be promoted, and
;; moving the upper two down would keep busy the one port that promotes.
(module
  (import "env" "memory" (memory 1))

  ;; Sixteen float32 of every term at a time.
  (func (export "sumF32")
    (param $terms i32) (param $termsEnd i32) (param $to i32) (param $groups i32) (result f32)
    (local $offset i32) (local $end i32) (local $term i32) (local $at i32)
    (local $w v128) (local $x v128) (local $check v128)
    (local $s0 v128) (local $s1 v128) (local $s2 v128) (local $s3 v128) (local $s4 v128) (local $s5 v128) (local $s6 v128) (local $s7 v128)
    (local.set $end (i32.add (local.get $to) (i32.shl (local.get $groups) (i32.const 6))))
    (loop $next
      (local.set $s0 (v128.const f64x2 -0 -0))
      (local.set $s1 (v128.const f64x2 -0 -0))
      (local.set $s2 (v128.const f64x2 -0 -0))
      (local.set $s3 (v128.const f64x2 -0 -0))
      (local.set $s4 (v128.const f64x2 -0 -0))
      (local.set $s5 (v128.const f64x2 -0 -0))
      (local.set $s6 (v128.const f64x2 -0 -0))
      (local.set $s7 (v128.const f64x2 -0 -0))
      (local.set $term (local.get $terms))
      (loop $nextTerm
        (local.set $at (i32.add (i32.load (local.get $term)) (local.get $offset)))
        (local.set $w (v128.load64_splat offset=8 (local.get $term)))
        (local.set $s0 (f64x2.add (local.get $s0) (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (v128.load64_zero (local.get $at))))))
        (local.set $s1 (f64x2.add (local.get $s1) (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (v128.load64_zero offset=8 (local.get $at))))))
        (local.set $s2 (f64x2.add (local.get $s2) (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (v128.load64_zero offset=16 (local.get $at))))))
        (local.set $s3 (f64x2.add (local.get $s3) (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (v128.load64_zero offset=24 (local.get $at))))))
        (local.set $s4 (f64x2.add (local.get $s4) (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (v128.load64_zero offset=32 (local.get $at))))))
        (local.set $s5 (f64x2.add (local.get $s5) (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (v128.load64_zero offset=40 (local.get $at))))))
        (local.set $s6 (f64x2.add (local.get $s6) (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (v128.load64_zero offset=48 (local.get $at))))))
        (local.set $s7 (f64x2.add (local.get $s7) (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (v128.load64_zero offset=56 (local.get $at))))))
        (local.set $term (i32.add (local.get $term) (i32.const 16)))
        (br_if $nextTerm (i32.lt_u (local.get $term) (local.get $termsEnd))))
      (local.set $x (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
        (f32x4.demote_f64x2_zero (local.get $s0)) (f32x4.demote_f64x2_zero (local.get $s1))))
      (v128.store (local.get $to) (local.get $x))
      (local.set $check (f32x4.add (local.get $check) (f32x4.sub (local.get $x) (local.get $x))))
      (local.set $x (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
        (f32x4.demote_f64x2_zero (local.get $s2)) (f32x4.demote_f64x2_zero (local.get $s3))))
      (v128.store offset=16 (local.get $to) (local.get $x))
      (local.set $check (f32x4.add (local.get $check) (f32x4.sub (local.get $x) (local.get $x))))
      (local.set $x (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
        (f32x4.demote_f64x2_zero (local.get $s4)) (f32x4.demote_f64x2_zero (local.get $s5))))
      (v128.store offset=32 (local.get $to) (local.get $x))
      (local.set $check (f32x4.add (local.get $check) (f32x4.sub (local.get $x) (local.get $x))))
      (local.set $x (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
        (f32x4.demote_f64x2_zero (local.get $s6)) (f32x4.demote_f64x2_zero (local.get $s7))))
      (v128.store offset=48 (local.get $to) (local.get $x))
      (local.set $check (f32x4.add (local.get $check) (f32x4.sub (local.get $x) (local.get $x))))
      (local.set $offset (i32.add (local.get $offset) (i32.const 64)))
      (local.set $to (i32.add (local.get $to) (i32.const 64)))
      (br_if $next (i32.lt_u (local.get $to) (local.get $end))))
    (f32.add
      (f32.add (f32x4.extract_lane 0 (local.get $check)) (f32x4.extract_lane 1 (local.get $check)))
      (f32.add (f32x4.extract_lane 2 (local.get $check)) (f32x4.extract_lane 3 (local.get $check)))))

  ;; Sixteen bfloat16 of every term at a time. A word holds two of them, and each is the upper half of a float32: even and odd
  ;; elements are summed apart and woven together again when they are rounded.
  (func (export "sumBF16")
    (param $terms i32) (param $termsEnd i32) (param $to i32) (param $groups i32) (result f32)
    (local $offset i32) (local $end i32) (local $term i32) (local $at i32)
    (local $w v128) (local $x v128) (local $check v128)
    (local $s0 v128) (local $s1 v128) (local $s2 v128) (local $s3 v128) (local $s4 v128) (local $s5 v128) (local $s6 v128) (local $s7 v128)
    (local.set $end (i32.add (local.get $to) (i32.shl (local.get $groups) (i32.const 6))))
    (loop $next
      (local.set $s0 (v128.const f64x2 -0 -0))
      (local.set $s1 (v128.const f64x2 -0 -0))
      (local.set $s2 (v128.const f64x2 -0 -0))
      (local.set $s3 (v128.const f64x2 -0 -0))
      (local.set $s4 (v128.const f64x2 -0 -0))
      (local.set $s5 (v128.const f64x2 -0 -0))
      (local.set $s6 (v128.const f64x2 -0 -0))
      (local.set $s7 (v128.const f64x2 -0 -0))
      (local.set $term (local.get $terms))
      (loop $nextTerm
        (local.set $at (i32.add (i32.load (local.get $term)) (local.get $offset)))
        (local.set $w (v128.load64_splat offset=8 (local.get $term)))
        (local.set $x (v128.load64_zero (local.get $at)))
        (local.set $s0 (f64x2.add (local.get $s0) (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (i32x4.shl (local.get $x) (i32.const 16))))))
        (local.set $s1 (f64x2.add (local.get $s1) (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 
          (v128.and (local.get $x) (v128.const i32x4 0xffff0000 0xffff0000 0xffff0000 0xffff0000))))))
        (local.set $x (v128.load64_zero offset=8 (local.get $at)))
        (local.set $s2 (f64x2.add (local.get $s2) (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (i32x4.shl (local.get $x) (i32.const 16))))))
        (local.set $s3 (f64x2.add (local.get $s3) (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 
          (v128.and (local.get $x) (v128.const i32x4 0xffff0000 0xffff0000 0xffff0000 0xffff0000))))))
        (local.set $x (v128.load64_zero offset=16 (local.get $at)))
        (local.set $s4 (f64x2.add (local.get $s4) (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (i32x4.shl (local.get $x) (i32.const 16))))))
        (local.set $s5 (f64x2.add (local.get $s5) (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 
          (v128.and (local.get $x) (v128.const i32x4 0xffff0000 0xffff0000 0xffff0000 0xffff0000))))))
        (local.set $x (v128.load64_zero offset=24 (local.get $at)))
        (local.set $s6 (f64x2.add (local.get $s6) (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (i32x4.shl (local.get $x) (i32.const 16))))))
        (local.set $s7 (f64x2.add (local.get $s7) (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 
          (v128.and (local.get $x) (v128.const i32x4 0xffff0000 0xffff0000 0xffff0000 0xffff0000))))))
        (local.set $term (i32.add (local.get $term) (i32.const 16)))
        (br_if $nextTerm (i32.lt_u (local.get $term) (local.get $termsEnd))))
      (local.set $x (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23
        (f32x4.demote_f64x2_zero (local.get $s0)) (f32x4.demote_f64x2_zero (local.get $s1))))
      (v128.store (local.get $to) (local.get $x))
      (local.set $check (f32x4.add (local.get $check) (f32x4.sub (local.get $x) (local.get $x))))
      (local.set $x (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23
        (f32x4.demote_f64x2_zero (local.get $s2)) (f32x4.demote_f64x2_zero (local.get $s3))))
      (v128.store offset=16 (local.get $to) (local.get $x))
      (local.set $check (f32x4.add (local.get $check) (f32x4.sub (local.get $x) (local.get $x))))
      (local.set $x (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23
        (f32x4.demote_f64x2_zero (local.get $s4)) (f32x4.demote_f64x2_zero (local.get $s5))))
      (v128.store offset=32 (local.get $to) (local.get $x))
      (local.set $check (f32x4.add (local.get $check) (f32x4.sub (local.get $x) (local.get $x))))
      (local.set $x (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23
        (f32x4.demote_f64x2_zero (local.get $s6)) (f32x4.demote_f64x2_zero (local.get $s7))))
      (v128.store offset=48 (local.get $to) (local.get $x))
      (local.set $check (f32x4.add (local.get $check) (f32x4.sub (local.get $x) (local.get $x))))
      (local.set $offset (i32.add (local.get $offset) (i32.const 32)))
      (local.set $to (i32.add (local.get $to) (i32.const 64)))
      (br_if $next (i32.lt_u (local.get $to) (local.get $end))))
    (f32.add
      (f32.add (f32x4.extract_lane 0 (local.get $check)) (f32x4.extract_lane 1 (local.get $check)))
      (f32.add (f32x4.extract_lane 2 (local.get $check)) (f32x4.extract_lane 3 (local.get $check)))))

  ;; The same where all weights are one: the numbers are summed in float32, four at a time, and the sum is weighted in float64.
  ;; Sums of a few bfloat16 are exact there unless their exponents are far apart. May overflow where the weighted sum would not.
  (func (export "sumEqualBF16")
    (param $terms i32) (param $termsEnd i32) (param $to i32) (param $groups i32) (result f32)
    (local $offset i32) (local $end i32) (local $term i32) (local $at i32)
    (local $w v128) (local $x v128) (local $check v128)
    (local $s0 v128) (local $s1 v128) (local $s2 v128) (local $s3 v128)
    (local.set $end (i32.add (local.get $to) (i32.shl (local.get $groups) (i32.const 6))))
    (local.set $w (v128.load64_splat offset=8 (local.get $terms)))
    (loop $next
      (local.set $s0 (v128.const f32x4 -0 -0 -0 -0))
      (local.set $s1 (v128.const f32x4 -0 -0 -0 -0))
      (local.set $s2 (v128.const f32x4 -0 -0 -0 -0))
      (local.set $s3 (v128.const f32x4 -0 -0 -0 -0))
      (local.set $term (local.get $terms))
      (loop $nextTerm
        (local.set $at (i32.add (i32.load (local.get $term)) (local.get $offset)))
        (local.set $x (v128.load (local.get $at)))
        (local.set $s0 (f32x4.add (local.get $s0) (i32x4.shl (local.get $x) (i32.const 16))))
        (local.set $s1 (f32x4.add (local.get $s1) (v128.and (local.get $x) (v128.const i32x4 0xffff0000 0xffff0000 0xffff0000 0xffff0000))))
        (local.set $x (v128.load offset=16 (local.get $at)))
        (local.set $s2 (f32x4.add (local.get $s2) (i32x4.shl (local.get $x) (i32.const 16))))
        (local.set $s3 (f32x4.add (local.get $s3) (v128.and (local.get $x) (v128.const i32x4 0xffff0000 0xffff0000 0xffff0000 0xffff0000))))
        (local.set $term (i32.add (local.get $term) (i32.const 16)))
        (br_if $nextTerm (i32.lt_u (local.get $term) (local.get $termsEnd))))
      (local.set $s0 (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
        (f32x4.demote_f64x2_zero (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (local.get $s0))))
        (f32x4.demote_f64x2_zero (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4
          (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $s0) (local.get $s0)))))))
      (local.set $s1 (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
        (f32x4.demote_f64x2_zero (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (local.get $s1))))
        (f32x4.demote_f64x2_zero (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4
          (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $s1) (local.get $s1)))))))
      (local.set $s2 (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
        (f32x4.demote_f64x2_zero (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (local.get $s2))))
        (f32x4.demote_f64x2_zero (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4
          (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $s2) (local.get $s2)))))))
      (local.set $s3 (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
        (f32x4.demote_f64x2_zero (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (local.get $s3))))
        (f32x4.demote_f64x2_zero (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4
          (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $s3) (local.get $s3)))))))
      (local.set $x (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $s0) (local.get $s1)))
      (v128.store (local.get $to) (local.get $x))
      (local.set $check (f32x4.add (local.get $check) (f32x4.sub (local.get $x) (local.get $x))))
      (local.set $x (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $s0) (local.get $s1)))
      (v128.store offset=16 (local.get $to) (local.get $x))
      (local.set $check (f32x4.add (local.get $check) (f32x4.sub (local.get $x) (local.get $x))))
      (local.set $x (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $s2) (local.get $s3)))
      (v128.store offset=32 (local.get $to) (local.get $x))
      (local.set $check (f32x4.add (local.get $check) (f32x4.sub (local.get $x) (local.get $x))))
      (local.set $x (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $s2) (local.get $s3)))
      (v128.store offset=48 (local.get $to) (local.get $x))
      (local.set $check (f32x4.add (local.get $check) (f32x4.sub (local.get $x) (local.get $x))))
      (local.set $offset (i32.add (local.get $offset) (i32.const 32)))
      (local.set $to (i32.add (local.get $to) (i32.const 64)))
      (br_if $next (i32.lt_u (local.get $to) (local.get $end))))
    (f32.add
      (f32.add (f32x4.extract_lane 0 (local.get $check)) (f32x4.extract_lane 1 (local.get $check)))
      (f32.add (f32x4.extract_lane 2 (local.get $check)) (f32x4.extract_lane 3 (local.get $check)))))

  ;; float32 from bfloat16: the upper halves of its bits.
  (func (export "widenBF16") (param $from i32) (param $to i32) (param $groups i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $to) (i32.shl (local.get $groups) (i32.const 6))))
    (loop $next
      (v128.store (local.get $to)
        (i32x4.shl (i32x4.extend_low_i16x8_u (v128.load64_zero (local.get $from))) (i32.const 16)))
      (local.set $from (i32.add (local.get $from) (i32.const 8)))
      (local.set $to (i32.add (local.get $to) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $to) (local.get $end)))))

  ;; float32 from float16. Its 15 lower bits, shifted into place, need 112 added to the exponent. Below 2^-14 there is no
  ;; implicit one: 2^-14 added and taken away again leaves the number. Infinities become NaNs: neither can be averaged.
  (func (export "widenF16") (param $from i32) (param $to i32) (param $groups i32)
    (local $end i32) (local $half v128) (local $bits v128) (local $broken v128) (local $small v128)
    (local.set $end (i32.add (local.get $to) (i32.shl (local.get $groups) (i32.const 6))))
    (loop $next
      (local.set $half (i32x4.extend_low_i16x8_u (v128.load64_zero (local.get $from))))
      (local.set $bits (i32x4.shl
        (v128.and (local.get $half) (v128.const i32x4 0x7fff 0x7fff 0x7fff 0x7fff)) (i32.const 13)))
      (local.set $broken
        (i32x4.gt_s (local.get $bits) (v128.const i32x4 0x0f7fffff 0x0f7fffff 0x0f7fffff 0x0f7fffff)))
      (local.set $small
        (i32x4.gt_s (v128.const i32x4 0x00800000 0x00800000 0x00800000 0x00800000) (local.get $bits)))
      (local.set $bits
        (i32x4.add (local.get $bits) (v128.const i32x4 0x38000000 0x38000000 0x38000000 0x38000000)))
      (local.set $bits (v128.bitselect
        (f32x4.sub
          (i32x4.add (local.get $bits) (v128.const i32x4 0x00800000 0x00800000 0x00800000 0x00800000))
          (v128.const i32x4 0x38800000 0x38800000 0x38800000 0x38800000))
        (local.get $bits)
        (local.get $small)))
      (v128.store (local.get $to) (v128.or
        (v128.or (local.get $bits) (local.get $broken))
        (i32x4.shl (v128.and (local.get $half) (v128.const i32x4 0x8000 0x8000 0x8000 0x8000)) (i32.const 16))))
      (local.set $from (i32.add (local.get $from) (i32.const 8)))
      (local.set $to (i32.add (local.get $to) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $to) (local.get $end)))))

  ;; bfloat16 from finite float32, rounded to nearest, ties to even; `to` may be `from`. Returns whether one became infinite.
  (func (export "narrowBF16") (param $from i32) (param $to i32) (param $groups i32) (result i32)
    (local $end i32) (local $low v128) (local $high v128) (local $infinite v128)
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $groups) (i32.const 6))))
    (loop $next
      (local.set $low (v128.load (local.get $from)))
      (local.set $high (v128.load offset=16 (local.get $from)))
      (local.set $low (i32x4.shr_u (i32x4.add (local.get $low) (i32x4.add
        (v128.and (i32x4.shr_u (local.get $low) (i32.const 16)) (v128.const i32x4 1 1 1 1))
        (v128.const i32x4 0x7fff 0x7fff 0x7fff 0x7fff))) (i32.const 16)))
      (local.set $high (i32x4.shr_u (i32x4.add (local.get $high) (i32x4.add
        (v128.and (i32x4.shr_u (local.get $high) (i32.const 16)) (v128.const i32x4 1 1 1 1))
        (v128.const i32x4 0x7fff 0x7fff 0x7fff 0x7fff))) (i32.const 16)))
      (local.set $low (i16x8.narrow_i32x4_u (local.get $low) (local.get $high)))
      (local.set $infinite (v128.or (local.get $infinite) (i16x8.eq
        (v128.and (local.get $low) (v128.const i32x4 0x7fff7fff 0x7fff7fff 0x7fff7fff 0x7fff7fff))
        (v128.const i32x4 0x7f807f80 0x7f807f80 0x7f807f80 0x7f807f80))))
      (v128.store (local.get $to) (local.get $low))
      (local.set $from (i32.add (local.get $from) (i32.const 32)))
      (local.set $to (i32.add (local.get $to) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $from) (local.get $end))))
    (v128.any_true (local.get $infinite))))
